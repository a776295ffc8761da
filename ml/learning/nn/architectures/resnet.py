"""Residual network: each block adds to its input, so that deeper networks remain trainable.

The "v1.5" variant: where a bottleneck halves the image, its 3x3 convolution takes the stride, not the 1x1 before it,
which would skip three of four pixels. Shortcuts that change width are 1x1 convolutions (option B of section 3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import conv_block
from ml.learning.nn.layers.memory_format import to_channels_last, use_channels_last
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

#: A bottleneck outputs four times the channels of its 3x3 convolution (table 1).
EXPANSION: Final = 4


class ResNetConfig(Config):
    """Sizes of the stages, and types of the blocks and the stem."""

    stages: tuple[tuple[Count, Count], ...] = Field(
        ((16, 1), (32, 1), (64, 1)),
        min_length=1,
        description="Channels of the 3x3 convolutions and number of blocks of each stage.",
    )
    block: Literal["basic", "bottleneck"] = Field(
        "basic",
        description="Two 3x3 convolutions; or one between two 1x1 convolutions, which narrow and widen (figure 5).",
    )
    inner: tuple[tuple[Count, ...], ...] | None = Field(
        None,
        description="Channels between the convolutions of each block, by stage; by default those of the stage.",
    )
    stem_stride: Literal[1, 4] = Field(
        1,
        description="1 for a 3x3 convolution, for small images (section 4.2); 4 for a 7x7 convolution and a max "
        "pooling, each of stride 2.",
    )

    @model_validator(mode="after")
    def _check_inner(self) -> Self:
        blocks = [depth for _, depth in self.stages]
        if self.inner is not None and [len(widths) for widths in self.inner] != blocks:
            raise ValueError(f"inner needs a number for each block; the stages have {blocks} blocks")
        return self


class ResNet(Backbone):
    """Stages of residual blocks, which halve the resolution, then global average pooling."""

    name = "resnet"
    summary = "Residual network; deep, for small images and photographs"
    source = "He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS})
    config_type = ResNetConfig
    recipe = Schedule(
        epochs=5, batch_size=128, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay="one_cycle"
    )
    # A bottleneck block ends in another part of its branch.
    growable: ClassVar[Mapping[str, Mapping[str, Any]]] = {"stages": {"block": "basic", "inner": None}}
    # A block that adds zero to an input behind a ReLU returns it.
    residual_outputs = ("branch.1.1.weight", "branch.1.1.bias")
    prunable = ("inner",)
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"stages": ((16, 1), (32, 1), (64, 1))},
        "resnet18": {"stages": ((64, 2), (128, 2), (256, 2), (512, 2)), "stem_stride": 4},
        "resnet50": {"stages": ((64, 3), (128, 4), (256, 6), (512, 3)), "block": "bottleneck", "stem_stride": 4},
    }

    def __init__(self, config: ResNetConfig, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        channels = config.stages[0][0]
        self.stem = _create_stem(shape["channels"], channels, stride=config.stem_stride)
        block = _BottleneckBlock if config.block == "bottleneck" else _BasicBlock
        self.stages = nn.ModuleList()
        maps: list[int] = []
        for (width, _), inner in zip(config.stages, _inner_widths(config), strict=True):
            blocks: list[nn.Module] = []
            for inner_width in inner:
                blocks.append(block(channels, inner_width, width, stride=1 if blocks or not maps else 2))
                channels = width * block.expansion
            self.stages.append(nn.Sequential(*blocks))
            maps.append(channels)
        strides = tuple(config.stem_stride * 2**stage for stage in range(len(maps)))
        self.widths = Widths(shape=shape, pooled=channels, maps=tuple(maps), strides=strides)
        use_channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return the map of each stage, and the mean of the last over all positions."""
        maps: list[Tensor] = []
        image_BCHW = self.stem(to_channels_last(signal))
        for stage in self.stages:
            image_BCHW = stage(image_BCHW)
            maps.append(image_BCHW)
        return {Feature.POOLED: (image_BCHW.mean(dim=(2, 3)),), Feature.MAPS: tuple(maps)}

    @classmethod
    def spell_out(cls, config: ResNetConfig) -> ResNetConfig:
        """Return the config with the channels in each block."""
        return config.model_copy(update={"inner": _inner_widths(config)})

    @classmethod
    def tiny(cls) -> ResNetConfig:
        """Return bottleneck blocks with both kinds of shortcut, after the stem of stride 4."""
        return ResNetConfig(stages=((4, 2), (4, 1)), block="bottleneck", stem_stride=4)


def _inner_widths(config: ResNetConfig) -> tuple[tuple[int, ...], ...]:
    return config.inner or tuple((width,) * depth for width, depth in config.stages)


def _create_stem(channels: int, width: int, *, stride: int) -> nn.Sequential:
    if stride == 1:
        return conv_block(channels, width)
    return nn.Sequential(conv_block(channels, width, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))


class _Residual(nn.Module):
    """Sum of a branch and a shortcut (equations 1 and 2)."""

    expansion: ClassVar[int]

    def __init__(self, branch: nn.Sequential, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != width:
            self.shortcut = _drop_relu(conv_block(channels, width, 1, stride=stride))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return nn.functional.relu(self.branch(image_BCHW) + self.shortcut(image_BCHW))


class _BasicBlock(_Residual):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, channels: int, inner: int, width: int, *, stride: int) -> None:
        branch = nn.Sequential(conv_block(channels, inner, stride=stride), _drop_relu(conv_block(inner, width)))
        super().__init__(branch, channels, width, stride=stride)


class _BottleneckBlock(_Residual):
    """A 3x3 convolution between two 1x1 convolutions."""

    expansion = EXPANSION

    def __init__(self, channels: int, inner: int, width: int, *, stride: int) -> None:
        expanded = width * EXPANSION
        branch = nn.Sequential(
            conv_block(channels, inner, 1),
            conv_block(inner, inner, stride=stride),
            _drop_relu(conv_block(inner, expanded, 1)),
        )
        super().__init__(branch, channels, expanded, stride=stride)


def _drop_relu(block: nn.Sequential) -> nn.Sequential:
    # The ReLU comes after the sum.
    return nn.Sequential(*list(block)[:-1])
