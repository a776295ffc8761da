"""Residual networks: each block adds to what it was given, so that a deeper network is no harder to train.

The "v1.5" variant: where a bottleneck halves the image, its 3x3 convolution takes the stride, not the 1x1 before it,
which would skip three pixels of four. Shortcuts that change width are 1x1 convolutions (option B of section 3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import convolution
from ml.learning.nn.layers.memory_format import channels_last, pixel_by_pixel
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPANSION = 4
"""A bottleneck gives four times the channels that its 3x3 convolution has (table 1)."""


class ResNetConfig(Config):
    """`stages` lists the channels of the 3x3 convolutions and the number of blocks, stage by stage."""

    stages: tuple[tuple[Count, Count], ...] = Field(((16, 1), (32, 1), (64, 1)), min_length=1)
    block: Literal["basic", "bottleneck"] = "basic"
    """Two 3x3 convolutions; or one between two 1x1, which narrow and widen (figure 5)."""
    stem_stride: Literal[1, 4] = 1
    """A 3x3 convolution, for small images (section 4.2); or a 7x7 and a pooling that halve the image each."""


class ResNet(Backbone):
    """Stages of residual blocks, each at half the size of the one before; global average pooling."""

    name = "resnet"
    summary = "Residual network; deep, for small images as for photographs"
    source = "He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS})
    config_type = ResNetConfig
    recipe = Schedule(
        epochs=5, batch_size=128, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay="one_cycle"
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"stages": ((16, 1), (32, 1), (64, 1))},
        "resnet18": {"stages": ((64, 2), (128, 2), (256, 2), (512, 2)), "stem_stride": 4},
        "resnet50": {"stages": ((64, 3), (128, 4), (256, 6), (512, 3)), "block": "bottleneck", "stem_stride": 4},
    }

    def __init__(self, config: ResNetConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        channels = config.stages[0][0]
        self.stem = _stem(shape["channels"], channels, stride=config.stem_stride)
        block = _Bottleneck if config.block == "bottleneck" else _Basic
        self.stages = nn.ModuleList()
        maps: list[int] = []
        for width, depth in config.stages:
            blocks: list[nn.Module] = []
            for _ in range(depth):
                blocks.append(block(channels, width, stride=1 if blocks or not maps else 2))
                channels = width * block.expansion
            self.stages.append(nn.Sequential(*blocks))
            maps.append(channels)
        strides = tuple(config.stem_stride * 2**place for place in range(len(maps)))
        self.widths = Widths(shape=shape, pooled=channels, maps=tuple(maps), strides=strides)
        channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Maps after each stage, and the mean of the last over all places."""
        maps: list[Tensor] = []
        image_BCHW = self.stem(pixel_by_pixel(signal))
        for stage in self.stages:
            image_BCHW = stage(image_BCHW)
            maps.append(image_BCHW)
        return {Feature.POOLED: (image_BCHW.mean(dim=(2, 3)),), Feature.MAPS: tuple(maps)}

    @classmethod
    def tiny(cls) -> ResNetConfig:
        """Bottlenecks with both kinds of shortcut, behind the large stem."""
        return ResNetConfig(stages=((4, 2), (4, 1)), block="bottleneck", stem_stride=4)


def _stem(channels: int, width: int, *, stride: int) -> nn.Sequential:
    if stride == 1:
        return convolution(channels, width)
    return nn.Sequential(convolution(channels, width, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))


class _Residual(nn.Module):
    """What a branch makes of an image, added to the image (equations 1 and 2)."""

    expansion: ClassVar[int]

    def __init__(self, branch: nn.Sequential, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != width:
            self.shortcut = _linear(convolution(channels, width, 1, stride=stride))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return nn.functional.relu(self.branch(image_BCHW) + self.shortcut(image_BCHW))


class _Basic(_Residual):
    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        branch = nn.Sequential(convolution(channels, width, stride=stride), _linear(convolution(width, width)))
        super().__init__(branch, channels, width, stride=stride)


class _Bottleneck(_Residual):
    expansion = EXPANSION

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        wide = width * EXPANSION
        branch = nn.Sequential(
            convolution(channels, width, 1),
            convolution(width, width, stride=stride),
            _linear(convolution(width, wide, 1)),
        )
        super().__init__(branch, channels, wide, stride=stride)


def _linear(block: nn.Sequential) -> nn.Sequential:
    # Without its rectifier, which comes after the sum.
    return nn.Sequential(*list(block)[:-1])
