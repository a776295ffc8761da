"""Objects as points: on one grid, how likely the middle of an object is at each place, and the box it would have there.

B batch, K classes, M objects of the row that has most, H height and W width of the grid, P = H x W.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.convolution import convolution
from ml.learning.nn.layers.memory_format import channels_last
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

SPREAD: Final = 0.54 / 6
"""Standard deviation of the bell around the middle of an object, as a share of its side (TTFNet, section 3)."""
NEAR: Final = 0.05
"""Places where the bell is higher answer for the object's box."""
FIRST_GUESS: Final = 0.1
"""How likely an object is anywhere before anything was learned: many empty places must not drown the first steps."""
LARGEST: Final = 6.0
"""exp(6) = 403 strides either way: no box is wider, and one bad step cannot make it infinite."""


class BoxesConfig(Config):
    """`classes` comes from the data; the rest says on which grid objects are looked for, and how far around."""

    classes: int = Field(ge=1)
    stride: Count = 4
    """Pixels between two places. The finest map that is not finer is the grid; two objects of a class whose middles
    share a place are one."""
    coarsest: Count = 32
    """Maps are halved until neighbours lie so many pixels apart: what is seen there says what the whole shows."""
    width: Count = 64
    box_weight: float = Field(2.0, gt=0)
    """Of the boxes in the loss, beside the middles."""


class Boxes(Head):
    """A pyramid carries what the coarse maps know down to the finest; two convolutions read middles and boxes off it.

    Middles as in CenterNet (Zhou et al. 2019, arXiv:1904.07850); a box is trained, by its overlap, wherever the bell
    around the middle is high, as in TTFNet (Liu et al. 2019, arXiv:1909.00700), which learns in far fewer steps. Each
    object counts once, large or small (TTFNet: by log area).
    """

    name = "boxes"
    summary = "Middles and boxes of objects, on a grid; no anchors"
    needs = frozenset({Feature.MAPS})
    config_type = BoxesConfig
    outputs = ("scores", "boxes")
    scores = ("middles", "overlap")

    def __init__(self, config: BoxesConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()  # one picture is looked at
        self.config = config
        self.size = (read.shape["height"], read.shape["width"])
        self.first = next((place for place, each in enumerate(read.strides) if each >= config.stride), -1)
        self.first %= len(read.maps)
        self.stride = read.strides[self.first]
        channels = list(read.maps[self.first :])
        coarsest = read.strides[-1]
        self.halvings = nn.ModuleList()
        while 2 * coarsest <= min(config.coarsest, max(self.size)):
            self.halvings.append(convolution(channels[-1], config.width, stride=2))
            channels.append(config.width)
            coarsest *= 2
        self.laterals = nn.ModuleList(nn.Conv2d(each, config.width, 1) for each in channels)
        self.smooth = nn.ModuleList(convolution(config.width, config.width) for _ in channels)
        self.middles = nn.Sequential(
            convolution(config.width, config.width), nn.Conv2d(config.width, config.classes, 1)
        )
        self.sides = nn.Sequential(convolution(config.width, config.width), nn.Conv2d(config.width, 4, 1))
        bias = self.middles[-1].bias
        assert isinstance(bias, Tensor), "the convolution was made with one"
        nn.init.constant_(bias, -math.log(1 / FIRST_GUESS - 1))
        channels_last(self)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`middles` are logits [B, K, H, W]; `boxes` [B, 4, H, W] are x1, y1, x2, y2 as shares of the picture."""
        maps = list(features[self.slot][Feature.MAPS][self.first :])
        for halve in self.halvings:
            maps.append(halve(maps[-1]))
        image: Tensor | None = None
        for found, lateral, smooth in zip(reversed(maps), reversed(self.laterals), reversed(self.smooth), strict=True):
            here = lateral(found)
            if image is not None:
                here = here + functional.interpolate(image, size=here.shape[-2:], mode="nearest")
            image = smooth(here)
        return {"middles": self.middles(image), "boxes": self._boxes(self.sides(image).float())}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Against `true_boxes` [B, M, 4], shares of the picture, and `true_labels` int64 [B, M], -1 for none."""
        middles, boxes = self._losses(outputs, batch)
        return middles + self.config.box_weight * boxes

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """The loss of the middles, and how well boxes lie over theirs (generalised, from -1 to 1)."""
        middles, boxes = self._losses(outputs, batch)
        return {"middles": middles, "overlap": 1 - boxes}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`scores` [B, K, H, W] in 0..1; peaks are picked and duplicates dropped by whoever asks."""
        outputs = self(features, batch)
        return {"scores": outputs["middles"].sigmoid(), "boxes": outputs["boxes"]}

    def _places(self, grid: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels from the left of each column, and from the top of each row.

        Grid and picture share their middle, whether the backbone pads or not.
        """
        down, across = (
            side / 2 + (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5 - length / 2) * self.stride
            for length, side in zip(grid, self.size, strict=True)
        )
        return across, down

    def _boxes(self, sides_B4HW: Tensor) -> Tensor:
        across, down = self._places((sides_B4HW.shape[2], sides_B4HW.shape[3]), sides_B4HW)
        shift_x, shift_y, wide, high = sides_B4HW.unbind(1)
        middle_x, middle_y = across + shift_x * self.stride, down[:, None] + shift_y * self.stride
        half_wide, half_high = (each.clamp(max=LARGEST).exp() * self.stride for each in (wide, high))
        height, width = self.size
        left, right = (middle_x - half_wide) / width, (middle_x + half_wide) / width
        top, bottom = (middle_y - half_high) / height, (middle_y + half_high) / height
        return torch.stack([left, top, right, bottom], dim=1)

    def _losses(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        logits, boxes_B4P = outputs["middles"].float().flatten(2), outputs["boxes"].float().flatten(2)
        true_BM4, label_BM = batch["true_boxes"], batch["true_labels"]
        real_BM = label_BM >= 0
        count = real_BM.sum().clamp(min=1)
        bell_BMP = self._bells(true_BM4, (outputs["middles"].shape[2], outputs["middles"].shape[3]))
        bell_BMP = bell_BMP * real_BM[:, :, None]
        index = label_BM.clamp(min=0)[:, :, None].expand(-1, -1, bell_BMP.shape[2])
        wanted_BKP = torch.zeros_like(logits).scatter_reduce(1, index, bell_BMP, "amax")
        return _focal(logits, wanted_BKP) / count, self._misplaced(boxes_B4P, true_BM4, bell_BMP) / count

    def _bells(self, true_BM4: Tensor, grid: tuple[int, int]) -> Tensor:
        """[B, M, P]: 1 at the place nearest to the middle of each object, falling off with its width and height."""
        falls = []
        for axis, places in enumerate(self._places(grid, true_BM4)):
            side = self.size[1 - axis]
            first, last = true_BM4[..., axis] * side, true_BM4[..., axis + 2] * side
            nearest = ((first + last) / 2 - places[0]).div(self.stride).round().clamp(0, len(places) - 1)
            away = torch.arange(len(places), device=true_BM4.device) - nearest[..., None]
            spread = ((last - first) / self.stride * SPREAD).clamp(min=0.2)[..., None]
            falls.append((-0.5 * (away / spread).square()).exp())
        across, down = falls
        return (down[..., :, None] * across[..., None, :]).flatten(2)

    def _misplaced(self, boxes_B4P: Tensor, true_BM4: Tensor, bell_BMP: Tensor) -> Tensor:
        """The sum over objects of 1 - overlap, each place answering for the smallest object it is near to."""
        height, width = self.size
        area_BM = (true_BM4[..., 2] - true_BM4[..., 0]) * (true_BM4[..., 3] - true_BM4[..., 1])
        near_BMP = bell_BMP > NEAR
        chosen_BP = torch.where(near_BMP, area_BM[:, :, None], math.inf).argmin(dim=1)
        own_BP = bell_BMP.gather(1, chosen_BP[:, None])[:, 0] * near_BMP.any(dim=1)
        whole_BM = torch.zeros_like(area_BM).scatter_add(1, chosen_BP, own_BP)
        weight_BP = own_BP / whole_BM.gather(1, chosen_BP).clamp(min=1e-6)
        true_B4P = true_BM4.transpose(1, 2).gather(2, chosen_BP[:, None].expand(-1, 4, -1))
        scale = true_BM4.new_tensor([width, height, width, height])[:, None]
        return (weight_BP * (1 - _overlap(boxes_B4P * scale, true_B4P * scale))).sum()


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy: what is easy counts little, places near a middle are forgiven (Law & Deng 2018, equation 1)."""
    likely = logits.sigmoid()
    at_middle = functional.logsigmoid(logits) * (1 - likely).square()
    elsewhere = functional.logsigmoid(-logits) * likely.square() * (1 - wanted).pow(4)
    return -torch.where(wanted >= 1, at_middle, elsewhere).sum()


def _overlap(one_B4P: Tensor, other_B4P: Tensor) -> Tensor:
    """Generalised intersection over union [B, P], from -1 to 1 (Rezatofighi et al. 2019, algorithm 1)."""
    one, other = (each.unbind(1) for each in (one_B4P, other_B4P))
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    inner = [torch.maximum(one[0], other[0]), torch.maximum(one[1], other[1])]
    inner += [torch.minimum(one[2], other[2]), torch.minimum(one[3], other[3])]
    shared = (inner[2] - inner[0]).clamp(min=0) * (inner[3] - inner[1]).clamp(min=0)
    union = (areas[0] + areas[1] - shared).clamp(min=1e-6)
    wide = torch.maximum(one[2], other[2]) - torch.minimum(one[0], other[0])
    high = torch.maximum(one[3], other[3]) - torch.minimum(one[1], other[1])
    around = (wide * high).clamp(min=1e-6)
    return shared / union - (around - union) / around
