"""Inception v3: at every depth, windows of several sizes side by side, large ones made of small ones.

The network of table 1, in the widths of the release that made it known: its blocks on the finest grid have one 5x5
window that the paper's figure 5 splits. With the auxiliary classifier, which only regularises training (section 4), it
has 27.2 M parameters with 1000 classes; a trained model goes without, and has 23.8 M.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ml.config import Config, Count
from ml.learning.nn.architectures.base import Backbone, Features, Widths
from ml.learning.nn.layers.convolution import Size, convolution
from ml.learning.nn.layers.memory_format import channels_last, pixel_by_pixel
from ml.schedule import Schedule
from ml.signals import Feature, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SMALLEST_UNPADDED = 75
"""Pixels on a side: what the layers that the paper does not pad need, so that something is left of the image."""
NARROWEST = 8
"""Channels. A layer is not scaled below them."""
ROW, COLUMN = (1, 7), (7, 1)
"""A 7x7 window in two steps (section 3.2)."""


class InceptionV3Config(Config):
    """How many blocks, and how wide. Widths are the paper's, before `multiplier` scales them all."""

    multiplier: float = Field(0.125, gt=0, le=4)
    stem_stride: Literal[2, 4, 8] = 4
    """How many times smaller the finest grid is than the image; the paper's 8 is for photographs."""
    fine: tuple[Count, ...] = Field((32,), min_length=1)
    """The blocks on the finest grid (figure 5), by the width of their pooling branch."""
    middle: tuple[Count, ...] = Field((128,), min_length=1)
    """The blocks on the grid of half that size (figure 6), by the width of their 7x7 branches."""
    coarse: Count = 1
    """How many blocks there are on the last grid (figure 7)."""
    auxiliary: bool = True
    """While training, a second feature read off the middle grid, for a classifier to learn from as well (figure 8)."""


class InceptionV3(Backbone):
    """Three grids of blocks whose branches read the same image; global average pooling."""

    name = "inception_v3"
    summary = "Inception v3: windows of several sizes side by side"
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
        smallest = min(shape["height"], shape["width"])
        blocks = _Blocks(config.multiplier, edge=0 if smallest >= SMALLEST_UNPADDED else 1)
        self.stem = blocks.stem(shape["channels"], stride=config.stem_stride)
        fine = _grid(self.stem.width, *(partial(blocks.fine, pooled=width) for width in config.fine))
        middle = _grid(fine.width, blocks.to_middle, *(partial(blocks.middle, split=width) for width in config.middle))
        coarse = _grid(middle.width, blocks.to_coarse, *[blocks.coarse] * config.coarse)
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
        channels_last(self)

    def forward(self, signal: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Features:
        """Maps after each grid, and the mean of the last over all places; while training, what the middle one shows."""
        maps: list[Tensor] = []
        image_BCHW = self.stem(pixel_by_pixel(signal))
        for grid in self.grids:
            image_BCHW = grid(image_BCHW)
            maps.append(image_BCHW)
        features: Features = {Feature.POOLED: (image_BCHW.mean(dim=(2, 3)),), Feature.MAPS: tuple(maps)}
        # One row alone has no spread to be normalised by, where one place is left.
        if self.training and self.auxiliary is not None and len(signal) > 1:
            features[Feature.AUXILIARY] = (self.auxiliary(maps[1]).flatten(1),)
        return features

    def strip_training_only(self) -> Mapping[str, Any]:
        """Without the auxiliary branch."""
        self.auxiliary = None
        return {"auxiliary": False}

    @classmethod
    def tiny(cls) -> InceptionV3Config:
        """One block of each kind, as narrow as they get."""
        return InceptionV3Config(multiplier=0.01)


class _Chain(nn.Sequential):
    """Layers one after the other; `width` is how many channels come out."""

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.width = width


class _Mixed(nn.Module):
    """Branches that read the same image; their channels are joined."""

    def __init__(self, *branches: _Chain) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.width = sum(branch.width for branch in branches)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return torch.cat([branch(image_BCHW) for branch in self.branches], dim=1)


def _grid(channels: int, *blocks: Callable[[int], _Mixed]) -> _Chain:
    made: list[_Mixed] = []
    for block in blocks:
        made.append(block(channels))
        channels = made[-1].width
    return _Chain(channels, *made)


class _Blocks:
    """Makes the blocks of the paper. The numbers are its widths and windows; `edge` pads what it leaves unpadded."""

    def __init__(self, multiplier: float, *, edge: int) -> None:
        self.multiplier = multiplier
        self.edge = edge

    def stem(self, channels: int, *, stride: int) -> _Chain:
        """Table 1, down to the first block; a stride of 4 leaves out the last halving, one of 2 the first as well."""
        first = self._path(channels, (32, 3), stride=2 if stride > 2 else 1, padding=self.edge)
        second = self._path(first.width, (32, 3), padding=self.edge)
        third = self._path(second.width, (64, 3))
        fourth = self._path(third.width, (80, 1), (192, 3), padding=self.edge)
        last = [self._halved(fourth.width)] if stride > 4 else []
        return _Chain(fourth.width, first, second, third, self._halved(third.width), fourth, *last)

    def fine(self, channels: int, *, pooled: int) -> _Mixed:
        """Figure 5, with a 5x5 window in one piece."""
        return _Mixed(
            self._path(channels, (64, 1)),
            self._path(channels, (48, 1), (64, 5)),
            self._path(channels, (64, 1), (96, 3), (96, 3)),
            self._pooled(channels, pooled),
        )

    def to_middle(self, channels: int) -> _Mixed:
        """Figure 10: half the size at once by convolutions and by pooling."""
        return _Mixed(
            self._path(channels, (384, 3), stride=2, padding=self.edge),
            self._path(channels, (64, 1), (96, 3), (96, 3), stride=2, padding=self.edge),
            self._halved(channels),
        )

    def middle(self, channels: int, *, split: int) -> _Mixed:
        """Figure 6, with n = 7."""
        return _Mixed(
            self._path(channels, (192, 1)),
            self._path(channels, (split, 1), (split, ROW), (192, COLUMN)),
            self._path(channels, (split, 1), (split, COLUMN), (split, ROW), (split, COLUMN), (192, ROW)),
            self._pooled(channels, 192),
        )

    def to_coarse(self, channels: int) -> _Mixed:
        """Figure 10 again."""
        return _Mixed(
            self._path(channels, (192, 1), (320, 3), stride=2, padding=self.edge),
            self._path(channels, (192, 1), (192, ROW), (192, COLUMN), (192, 3), stride=2, padding=self.edge),
            self._halved(channels),
        )

    def coarse(self, channels: int) -> _Mixed:
        """Figure 7: branches that end in two."""
        return _Mixed(
            self._path(channels, (320, 1)),
            self._forked(self._path(channels, (384, 1))),
            self._forked(self._path(channels, (448, 1), (384, 3))),
            self._pooled(channels, 192),
        )

    def auxiliary(self, channels: int) -> _Chain:
        """Figure 8, up to its linear layer: 5x5 places, all of which one window sees.

        The paper pools by windows of 5 and steps of 3, which make 17x17 places 5x5; here the windows fit any grid.
        """
        path = self._path(channels, (128, 1), (768, 5), padding=0)
        return _Chain(path.width, nn.AdaptiveAvgPool2d(5), path)

    def _path(self, channels: int, *layers: tuple[int, Size], stride: int = 1, padding: int | None = None) -> _Chain:
        """Convolutions by width and window; `stride` and `padding` are of the last."""
        made: list[nn.Module] = []
        for place, (wanted, size) in enumerate(layers, start=1):
            width = max(NARROWEST, round(wanted * self.multiplier))
            of_this = (stride, padding) if place == len(layers) else (1, None)
            made.append(convolution(channels, width, size, stride=of_this[0], padding=of_this[1]))
            channels = width
        return _Chain(channels, *made)

    def _forked(self, path: _Chain) -> _Chain:
        both = _Mixed(self._path(path.width, (384, (1, 3))), self._path(path.width, (384, (3, 1))))
        return _Chain(both.width, path, both)

    def _pooled(self, channels: int, width: int) -> _Chain:
        # As in the release, the mean is over pixels that are there, not over padding.
        mean = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        path = self._path(channels, (width, 1))
        return _Chain(path.width, mean, path)

    def _halved(self, channels: int) -> _Chain:
        return _Chain(channels, nn.MaxPool2d(3, stride=2, padding=self.edge))
