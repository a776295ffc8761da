"""AlexNet: five convolutions and two dense layers.

The single tower of Krizhevsky 2014, in the widths of torchvision (61.1 M parameters with 1000 classes at 224 x 224).
Like torchvision it omits the two towers of 2012 and their local response normalization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import conv_block
from ml.learning.nn.layers.memory_format import to_channels_last, use_channels_last
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

#: 224 pixels become 55, as in figure 2.
STEM_PADDING: Final = 2


class AlexNetConfig(Config):
    """Sizes of the convolutions and dense layers."""

    channels: tuple[Count, Count, Count, Count, Count] = Field(
        (16, 32, 48, 32, 32), description="Channels of the five convolutions."
    )
    stem_size: Count = Field(5, description="Kernel size of the first convolution.")
    stem_stride: Count = Field(1, description="Stride of the first convolution.")
    hidden: Count = Field(256, description="Width of both dense layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout after each dense layer (section 4.2).")


class AlexNet(Backbone):
    """Convolutions with overlapping pooling, then dense layers over all positions; for images of one size."""

    name = "alexnet"
    summary = "AlexNet: five convolutions, then two dense layers with dropout"
    source = (
        "Krizhevsky et al. 2012, ImageNet classification with deep CNNs; one tower: Krizhevsky 2014, arXiv:1404.5997"
    )
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS})
    config_type = AlexNetConfig
    recipe = Schedule(
        epochs=5, batch_size=128, optimizer="adamw", learning_rate=0.002, weight_decay=0.01, decay="one_cycle"
    )
    prunable = ("channels",)
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"channels": (16, 32, 48, 32, 32), "stem_size": 5, "stem_stride": 1, "hidden": 256},
        "one_tower": {"channels": (64, 192, 384, 256, 256), "stem_size": 11, "stem_stride": 4, "hidden": 4096},
    }

    def __init__(self, config: AlexNetConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        first, second, third, fourth, fifth = config.channels
        size, stride, hidden = config.stem_size, config.stem_stride, config.hidden
        height, width = shape["height"], shape["width"]
        # An image smaller than the kernel is padded to its size.
        padding = max(STEM_PADDING, (size - min(height, width) + 1) // 2)
        height, width = ((length + 2 * padding - size) // stride + 1 for length in (height, width))
        stem = conv_block(shape["channels"], first, size, stride=stride, padding=padding, normalize=False)
        pools = []
        for _ in range(3):
            pools.append(_max_pool(height, width))
            height, width = _pooled_length(height), _pooled_length(width)
        self.stages = nn.ModuleList(
            [
                stem,
                nn.Sequential(pools[0], conv_block(first, second, 5, normalize=False)),
                nn.Sequential(
                    pools[1],
                    conv_block(second, third, normalize=False),
                    conv_block(third, fourth, normalize=False),
                    conv_block(fourth, fifth, normalize=False),
                ),
            ]
        )
        self.dense = nn.Sequential(
            pools[2],
            nn.Flatten(),
            *(nn.Linear(fifth * height * width, hidden), nn.ReLU(), nn.Dropout(config.dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(config.dropout)),
        )
        self.widths = Widths(
            shape=shape, pooled=hidden, maps=(first, second, fifth), strides=(stride, 2 * stride, 4 * stride)
        )
        use_channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the maps before each pooling, and the output of the last dense layer."""
        maps: list[Tensor] = []
        image_BCHW = to_channels_last(signal)
        for stage in self.stages:
            image_BCHW = stage(image_BCHW)
            maps.append(image_BCHW)
        return {Feature.POOLED: (self.dense(image_BCHW),), Feature.MAPS: tuple(maps)}

    @classmethod
    def tiny(cls) -> AlexNetConfig:
        """Return few channels, and a strided stem whose kernel is wider than the image."""
        return AlexNetConfig(channels=(4, 4, 4, 4, 4), stem_size=11, stem_stride=2, hidden=16, dropout=0.1)


def _max_pool(height: int, width: int) -> nn.Module:
    # Overlapping windows of 3 (section 3.4), rounded up, so that an image of any size has a pixel left at every stage.
    return nn.MaxPool2d((min(3, height), min(3, width)), stride=2, ceil_mode=True)


def _pooled_length(length: int) -> int:
    return max(1, length // 2)
