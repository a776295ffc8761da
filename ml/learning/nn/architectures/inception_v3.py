"""Inception v3: blocks of parallel convolutions with kernels of several sizes, the large ones factorized.

The network of table 1, in the widths of its release, whose blocks on the finest grid have one 5x5 convolution that the
paper's figure 5 factorizes. With the auxiliary classifier, which only regularizes training (section 4), it has 27.2 M
parameters with 1000 classes; a trained model is saved without it and has 23.8 M.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import Size, conv_block
from ml.learning.nn.layers.memory_format import to_channels_last, use_channels_last
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Shorter side of an image below which the layers that the paper does not pad are padded, so that a pixel is left.
MIN_UNPADDED_PIXELS: Final = 75
#: Channels below which `multiplier` scales no layer.
MIN_CHANNELS: Final = 8
#: Kernels of a factorized 7x7 convolution (section 3.2).
ROW, COLUMN = (1, 7), (7, 1)


class InceptionV3Config(Config):
    """Number and widths of the blocks. Widths are the paper's, before `multiplier` scales them."""

    multiplier: float = Field(0.125, gt=0, le=4, description="Factor of all widths.")
    stem_stride: Literal[2, 4, 8] = Field(
        4, description="Stride of the finest grid, in pixels; the paper's 8 is for photographs."
    )
    fine: tuple[Count, ...] = Field(
        (32,), min_length=1, description="Blocks on the finest grid (figure 5): the width of their pooling branch."
    )
    middle: tuple[Count, ...] = Field(
        (128,), min_length=1, description="Blocks on the middle grid (figure 6): the width of their 7x7 branches."
    )
    coarse: Count = Field(1, description="Number of blocks on the coarsest grid (figure 7).")
    auxiliary: bool = Field(
        True, description="In training, a second feature from the middle grid, for an auxiliary classifier (figure 8)."
    )


class InceptionV3(Backbone):
    """Blocks of parallel branches on three grids; global average pooling."""

    name = "inception_v3"
    summary = "Inception v3: parallel convolutions with kernels of several sizes"
    source = "Szegedy et al. 2015, Rethinking the Inception architecture for computer vision, arXiv:1512.00567"
    accepts = frozenset({Signal.IMAGE})
    provides = frozenset({Feature.POOLED, Feature.MAPS, Feature.AUXILIARY})
    config_type = InceptionV3Config
    recipe = Schedule(
        epochs=4, batch_size=128, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, decay="one_cycle"
    )
    usual_shape: ClassVar[Mapping[str, int]] = {"channels": 1, "height": 28, "width": 28}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "small": {"multiplier": 0.125, "stem_stride": 4, "fine": (32,), "middle": (128,), "coarse": 1},
        "paper": {
            "multiplier": 1,
            "stem_stride": 8,
            "fine": (32, 64, 64),
            "middle": (128, 160, 160, 192),
            "coarse": 2,
        },
    }

    def __init__(self, config: InceptionV3Config, *, shape: Mapping[str, int], conditions: int = 0) -> None:
        super().__init__(config, shape=shape, conditions=conditions)
        shorter_side = min(shape["height"], shape["width"])
        blocks = _BlockBuilder(config.multiplier, padding=0 if shorter_side >= MIN_UNPADDED_PIXELS else 1)
        self.stem = blocks.stem(shape["channels"], stride=config.stem_stride)
        fine = _stack(self.stem.width, *(partial(blocks.fine, pooled=width) for width in config.fine))
        middle = _stack(
            fine.width, blocks.to_middle, *(partial(blocks.middle, factorized=width) for width in config.middle)
        )
        coarse = _stack(middle.width, blocks.to_coarse, *[blocks.coarse] * config.coarse)
        self.grids = nn.ModuleList([fine, middle, coarse])
        self.auxiliary = blocks.auxiliary(middle.width) if config.auxiliary else None
        stride = config.stem_stride
        self.widths = Widths(
            shape=shape,
            pooled=coarse.width,
            maps=(fine.width, middle.width, coarse.width),
            strides=(stride, 2 * stride, 4 * stride),
            auxiliary=self.auxiliary.width if self.auxiliary is not None else 0,
        )
        use_channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Return all maps, the mean of the last, and in training the auxiliary feature."""
        maps: list[Tensor] = []
        image_BCHW = self.stem(to_channels_last(signal))
        for grid in self.grids:
            image_BCHW = grid(image_BCHW)
            maps.append(image_BCHW)
        features: Features = {Feature.POOLED: (image_BCHW.mean(dim=(2, 3)),), Feature.MAPS: tuple(maps)}
        # Batch normalization cannot normalize a single row of which one position is left.
        if self.training and self.auxiliary is not None and len(signal) > 1:
            features[Feature.AUXILIARY] = (self.auxiliary(maps[1]).flatten(1),)
        return features

    def strip_training_only(self) -> Mapping[str, Any]:
        """Remove the auxiliary branch."""
        self.auxiliary = None
        return {"auxiliary": False}

    @classmethod
    def tiny(cls) -> InceptionV3Config:
        """Return one block of each kind, of minimum width."""
        return InceptionV3Config(multiplier=0.01)


class _Path(nn.Sequential):
    """Sequence of layers; `width` is the number of output channels."""

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.width = width


class _Block(nn.Module):
    """Parallel branches whose output channels are concatenated."""

    def __init__(self, *branches: _Path) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.width = sum(branch.width for branch in branches)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return torch.cat([branch(image_BCHW) for branch in self.branches], dim=1)


def _stack(channels: int, *builders: Callable[[int], _Block]) -> _Path:
    blocks: list[_Block] = []
    for build in builders:
        blocks.append(build(channels))
        channels = blocks[-1].width
    return _Path(channels, *blocks)


class _BlockBuilder:
    """Builds the blocks of the paper, with its widths and kernel sizes.

    `padding` is that of the layers that the paper does not pad.
    """

    def __init__(self, multiplier: float, *, padding: int) -> None:
        self.multiplier = multiplier
        self.padding = padding

    def stem(self, channels: int, *, stride: int) -> _Path:
        """Build table 1 down to the first block.

        A stride of 4 omits the last pooling, one of 2 also the stride of the first convolution.
        """
        first = self._path(channels, (32, 3), stride=2 if stride > 2 else 1, padding=self.padding)
        second = self._path(first.width, (32, 3), padding=self.padding)
        third = self._path(second.width, (64, 3))
        fourth = self._path(third.width, (80, 1), (192, 3), padding=self.padding)
        last = [self._max_pool(fourth.width)] if stride > 4 else []
        return _Path(fourth.width, first, second, third, self._max_pool(third.width), fourth, *last)

    def fine(self, channels: int, *, pooled: int) -> _Block:
        """Build figure 5, with a single 5x5 convolution."""
        return _Block(
            self._path(channels, (64, 1)),
            self._path(channels, (48, 1), (64, 5)),
            self._path(channels, (64, 1), (96, 3), (96, 3)),
            self._average_pool(channels, pooled),
        )

    def to_middle(self, channels: int) -> _Block:
        """Build figure 10: halve the grid by convolutions and by pooling in parallel."""
        return _Block(
            self._path(channels, (384, 3), stride=2, padding=self.padding),
            self._path(channels, (64, 1), (96, 3), (96, 3), stride=2, padding=self.padding),
            self._max_pool(channels),
        )

    def middle(self, channels: int, *, factorized: int) -> _Block:
        """Build figure 6 with n = 7."""
        return _Block(
            self._path(channels, (192, 1)),
            self._path(channels, (factorized, 1), (factorized, ROW), (192, COLUMN)),
            self._path(
                channels, (factorized, 1), (factorized, COLUMN), (factorized, ROW), (factorized, COLUMN), (192, ROW)
            ),
            self._average_pool(channels, 192),
        )

    def to_coarse(self, channels: int) -> _Block:
        """Build figure 10 between the middle and the coarsest grid."""
        return _Block(
            self._path(channels, (192, 1), (320, 3), stride=2, padding=self.padding),
            self._path(channels, (192, 1), (192, ROW), (192, COLUMN), (192, 3), stride=2, padding=self.padding),
            self._max_pool(channels),
        )

    def coarse(self, channels: int) -> _Block:
        """Build figure 7, whose branches end in two parallel convolutions."""
        return _Block(
            self._path(channels, (320, 1)),
            self._fork(self._path(channels, (384, 1))),
            self._fork(self._path(channels, (448, 1), (384, 3))),
            self._average_pool(channels, 192),
        )

    def auxiliary(self, channels: int) -> _Path:
        """Build figure 8 up to its linear layer.

        It is a grid of 5x5, covered by one kernel. The paper pools with windows of 5 and a stride of 3, which turn
        17x17 into 5x5; here the windows fit any grid.
        """
        path = self._path(channels, (128, 1), (768, 5), padding=0)
        return _Path(path.width, nn.AdaptiveAvgPool2d(5), path)

    def _path(self, channels: int, *layers: tuple[int, Size], stride: int = 1, padding: int | None = None) -> _Path:
        """Build convolutions by width and kernel size; `stride` and `padding` are those of the last."""
        blocks: list[nn.Module] = []
        for index, (paper_width, size) in enumerate(layers, start=1):
            width = max(MIN_CHANNELS, round(paper_width * self.multiplier))
            is_last = index == len(layers)
            blocks.append(
                conv_block(channels, width, size, stride=stride if is_last else 1, padding=padding if is_last else None)
            )
            channels = width
        return _Path(channels, *blocks)

    def _fork(self, path: _Path) -> _Path:
        fork = _Block(self._path(path.width, (384, (1, 3))), self._path(path.width, (384, (3, 1))))
        return _Path(fork.width, path, fork)

    def _average_pool(self, channels: int, width: int) -> _Path:
        # As in the release, padding does not count in the mean.
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        path = self._path(channels, (width, 1))
        return _Path(path.width, pool, path)

    def _max_pool(self, channels: int) -> _Path:
        return _Path(channels, nn.MaxPool2d(3, stride=2, padding=self.padding))
