"""Plain convolutional network: stages of 3x3 convolutions, with max pooling in between.

The first convolution of a large image may halve it: at full resolution, convolutions cost the most and know the least.

B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

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

Stage = Annotated[tuple[Count, ...], Field(min_length=1)]


class CNNConfig(Config):
    """Sizes of the stages, normalization and pooling."""

    stages: tuple[Stage, ...] = Field(
        ((16, 16), (32, 32), (64,)), min_length=1, description="Channels of every convolution of each stage."
    )
    halving_side: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Images whose shorter side has at least this many pixels are halved by the first convolution, "
        "which is then 5 x 5: the later ones have a quarter of the work. 0 for never.",
    )
    normalize: bool = Field(True, description="Batch normalization after every convolution.")
    pooling: Literal["maximum", "flatten"] = Field(
        "maximum",
        description="Global maximum of each channel; or the values at all positions, after one more max pooling.",
    )
    hidden: int = Field(0, ge=0, le=65_536, description="Width of a dense layer at the end; 0 for none.")


class CNN(Backbone):
    """Convolutions with batch normalization and ReLU, then global max pooling. Accurate on small images."""

    name = "cnn"
    summary = "Plain convolutional network; small, fast, accurate on small images"
    source = "LeCun et al. 1998, Gradient-based learning applied to document recognition; Ioffe & Szegedy 2015"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS})
    config_type = CNNConfig
    recipe = Schedule(
        epochs=5, batch_size=128, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay="one_cycle"
    )
    growable: ClassVar[Mapping[str, Mapping[str, Any]]] = {"stages": {}, "hidden": {}}
    prunable = ("stages", "hidden")
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"stages": ((16, 16), (32, 32), (64,))},
        "fast": {"stages": ((16, 24), (32, 32), (64,)), "halving_side": 24},
        "medium": {"stages": ((24, 24), (48, 48), (96, 96))},
        "document": {"stages": ((32,),), "normalize": False, "pooling": "flatten", "hidden": 128},
    }
    #: Fewer images do not teach it as well as `small`.
    preset_rows: ClassVar[Mapping[str, int]] = {"fast": 10_000}
    #: Seven epochs take half as long as five of `small`.
    preset_recipes: ClassVar[Mapping[str, Schedule]] = {"fast": Schedule(epochs=7)}

    def __init__(self, config: CNNConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.flatten = config.pooling == "flatten"
        is_halved = 0 < config.halving_side <= min(shape["height"], shape["width"])
        self.stages = nn.ModuleList()
        channels = shape["channels"]
        for widths in config.stages:
            layers: list[nn.Module] = []
            for width in widths:
                size, stride = (5, 2) if is_halved and not layers and not self.stages else (3, 1)
                layers += conv_block(channels, width, size, stride=stride, normalize=config.normalize)
                channels = width
            self.stages.append(nn.Sequential(*layers))
        pooled = channels
        if self.flatten:
            halvings = len(config.stages) + is_halved
            height, width = (_halve_length(shape[side], halvings) for side in ("height", "width"))
            pooled = channels * height * width
        self.hidden = nn.Sequential()
        if config.hidden:
            self.hidden = nn.Sequential(nn.Linear(pooled, config.hidden), nn.ReLU())
        self.widths = Widths(
            shape=shape,
            pooled=config.hidden or pooled,
            maps=tuple(stage[-1] for stage in config.stages),
            strides=tuple(2 ** (stage + is_halved) for stage in range(len(config.stages))),
        )
        use_channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the map of each stage, and the last one pooled."""
        maps: list[Tensor] = []
        image_BCHW = to_channels_last(signal)
        for stage in self.stages:
            image_BCHW = stage(_max_pool(maps[-1]) if maps else image_BCHW)
            maps.append(image_BCHW)
        pooled = _max_pool(maps[-1]).flatten(1) if self.flatten else maps[-1].amax(dim=(2, 3))
        return {Feature.POOLED: (self.hidden(pooled),), Feature.MAPS: tuple(maps)}

    @classmethod
    def tiny(cls) -> CNNConfig:
        """Return two stages, one of two layers, a halved image and a dense layer."""
        return CNNConfig(stages=((4, 4), (8,)), halving_side=8, hidden=8)


def _max_pool(image_BCHW: Tensor) -> Tensor:
    # Rounded up, so that an image of any size has a pixel left at every stage.
    return nn.functional.max_pool2d(image_BCHW, 2, ceil_mode=True)


def _halve_length(length: int, times: int) -> int:
    for _ in range(times):
        length = (length + 1) // 2
    return length
