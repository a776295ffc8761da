"""A plain convolutional network: stages of 3x3 convolutions, halved by max pooling in between.

B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

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

Stage = Annotated[tuple[Count, ...], Field(min_length=1)]


class CNNConfig(Config):
    """`stages` lists the channels of every convolution, stage by stage."""

    stages: tuple[Stage, ...] = Field(((16, 16), (32, 32), (64,)), min_length=1)
    normalise: bool = True
    """Batch normalisation after every convolution."""
    pooling: Literal["maximum", "flatten"] = "maximum"
    """The strongest answer of each channel anywhere in the image; or all answers in their places, halved once more."""
    hidden: int = Field(0, ge=0, le=65_536)
    """Width of a dense layer at the end; 0 for none."""


class CNN(Backbone):
    """Convolution, batch normalisation, rectifier; global max pooling. Small, and strong on small images."""

    name = "cnn"
    summary = "Plain convolutional network; small, fast, strong on small images"
    source = "LeCun et al. 1998, Gradient-based learning applied to document recognition; Ioffe & Szegedy 2015"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS})
    config_type = CNNConfig
    recipe = Schedule(
        epochs=5, batch_size=128, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay="one_cycle"
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"stages": ((16, 16), (32, 32), (64,))},
        "medium": {"stages": ((24, 24), (48, 48), (96, 96))},
        "document": {"stages": ((32,),), "normalise": False, "pooling": "flatten", "hidden": 128},
    }

    def __init__(self, config: CNNConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        self.flatten = config.pooling == "flatten"
        self.stages = nn.ModuleList()
        channels = shape["channels"]
        for widths in config.stages:
            layers: list[nn.Module] = []
            for width in widths:
                layers += convolution(channels, width, normalise=config.normalise)
                channels = width
            self.stages.append(nn.Sequential(*layers))
        halvings = len(config.stages) if self.flatten else 0
        places = _halved(shape["height"], halvings) * _halved(shape["width"], halvings) if self.flatten else 1
        self.hidden = nn.Sequential()
        if config.hidden:
            self.hidden = nn.Sequential(nn.Linear(channels * places, config.hidden), nn.ReLU())
        self.widths = Widths(
            shape=shape,
            pooled=config.hidden or channels * places,
            maps=tuple(stage[-1] for stage in config.stages),
            strides=tuple(2**place for place in range(len(config.stages))),
        )
        channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Maps after each stage, and the last of them pooled."""
        maps: list[Tensor] = []
        image_BCHW = pixel_by_pixel(signal)
        for stage in self.stages:
            image_BCHW = stage(_halve(maps[-1]) if maps else image_BCHW)
            maps.append(image_BCHW)
        pooled = _halve(maps[-1]).flatten(1) if self.flatten else maps[-1].amax(dim=(2, 3))
        return {Feature.POOLED: (self.hidden(pooled),), Feature.MAPS: tuple(maps)}

    @classmethod
    def tiny(cls) -> CNNConfig:
        """Two stages, one of two layers, and a dense layer."""
        return CNNConfig(stages=((4, 4), (8,)), hidden=8)


def _halve(image_BCHW: Tensor) -> Tensor:
    # Rounded up, so that an image of any size survives every stage.
    return nn.functional.max_pool2d(image_BCHW, 2, ceil_mode=True)


def _halved(length: int, times: int) -> int:
    for _ in range(times):
        length = (length + 1) // 2
    return length
