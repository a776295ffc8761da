"""Object detection head: centers and boxes of objects on a grid.

B batch, K classes, M maximum number of objects in a row, H height and W width of the grid, P = H x W cells.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.heads.base import Head, Tensors
from ml.learning.nn.layers.convolution import conv_block
from ml.learning.nn.layers.memory_format import use_channels_last
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

#: Standard deviation of the Gaussian around the center of an object, as a fraction of its side (TTFNet, section 3).
GAUSSIAN_SIGMA: Final = 0.54 / 6
#: Cells where the Gaussian is larger are trained to predict the box of the object.
MIN_BOX_WEIGHT: Final = 0.05
#: Initial probability of an object at each cell, so that the many empty cells do not dominate the first steps.
INITIAL_PROBABILITY: Final = 0.1
#: Limit of the logarithm of half a side: exp(6) = 403 strides. No box is wider, and one bad step cannot make it
#: infinite.
MAX_LOG_HALF_SIDE: Final = 6.0


class BoxesConfig(Config):
    """Grid and loss weight of the detection head. `classes` comes from the data."""

    classes: int = Field(ge=1)
    stride: Count = Field(
        4,
        description="Pixels between two cells. The grid is the finest map of at least this stride; two objects of a "
        "class whose centers are in the same cell are detected as one.",
    )
    coarsest: Count = Field(
        32, description="Maps are halved until their stride is this large; coarse maps show the context of an object."
    )
    width: Count = 64
    box_weight: float = Field(2.0, gt=0, description="Weight of the box loss relative to that of the centers.")


class Boxes(Head):
    """Feature pyramid that predicts heatmaps of centers, and boxes, on its finest grid.

    Centers are those of CenterNet (Zhou et al. 2019, arXiv:1904.07850). Boxes are trained by their overlap wherever the
    Gaussian around the center is large, as in TTFNet (Liu et al. 2019, arXiv:1909.00700), which takes far fewer steps.
    Each object has the same weight whatever its size (in TTFNet: by log area).
    """

    name = "boxes"
    summary = "Centers and boxes of objects on a grid, without anchors"
    needs = frozenset({Feature.MAPS})
    config_type = BoxesConfig
    outputs = ("scores", "boxes")
    scores = ("center_loss", "box_overlap")
    label_dimensions: ClassVar[Mapping[str, int]] = {"middles.1.weight": 0, "middles.1.bias": 0}

    def __init__(self, config: BoxesConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()  # exactly one image
        self.config = config
        self.size = (backbone.shape["height"], backbone.shape["width"])
        self.first = next((index for index, stride in enumerate(backbone.strides) if stride >= config.stride), -1)
        self.first %= len(backbone.maps)
        self.stride = backbone.strides[self.first]
        channels = list(backbone.maps[self.first :])
        coarsest = backbone.strides[-1]
        self.halvings = nn.ModuleList()
        while 2 * coarsest <= min(config.coarsest, max(self.size)):
            self.halvings.append(conv_block(channels[-1], config.width, stride=2))
            channels.append(config.width)
            coarsest *= 2
        self.laterals = nn.ModuleList(nn.Conv2d(count, config.width, 1) for count in channels)
        self.smooth = nn.ModuleList(conv_block(config.width, config.width) for _ in channels)
        self.middles = nn.Sequential(conv_block(config.width, config.width), nn.Conv2d(config.width, config.classes, 1))
        self.sides = nn.Sequential(conv_block(config.width, config.width), nn.Conv2d(config.width, 4, 1))
        bias = self.middles[-1].bias
        assert isinstance(bias, Tensor), "the convolution has a bias"
        nn.init.constant_(bias, -math.log(1 / INITIAL_PROBABILITY - 1))
        use_channels_last(self)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `middles` [B, K, H, W] and `boxes` [B, 4, H, W].

        `middles` are logits of centers. Boxes are x1, y1, x2, y2 as fractions of the image.
        """
        maps = list(features[self.slot][Feature.MAPS][self.first :])
        for halve in self.halvings:
            maps.append(halve(maps[-1]))
        merged: Tensor | None = None
        levels = zip(reversed(maps), reversed(self.laterals), reversed(self.smooth), strict=True)
        for feature_map, lateral, smooth in levels:
            level = lateral(feature_map)
            if merged is not None:
                level = level + functional.interpolate(merged, size=level.shape[-2:], mode="nearest")
            merged = smooth(level)
        return {"middles": self.middles(merged), "boxes": self._to_boxes(self.sides(merged).float())}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of centers and boxes.

        The targets are `true_boxes` [B, M, 4], as fractions of the image, and `true_labels` int64 [B, M], -1 for none.
        With `true_crowds` bool [B, M], the cells in a crowd are not judged for its class.
        """
        center_loss, box_loss = self._losses(outputs, batch)
        return center_loss + self.config.box_weight * box_loss

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the loss of the centers and the generalized IoU of the boxes, -1..1."""
        center_loss, box_loss = self._losses(outputs, batch)
        return {"center_loss": center_loss, "box_overlap": 1 - box_loss}

    def infer(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `scores` [B, K, H, W] in 0..1 and `boxes`.

        The caller picks the peaks and suppresses duplicates.
        """
        outputs = self(features, batch)
        return {"scores": outputs["middles"].sigmoid(), "boxes": outputs["boxes"]}

    def _cell_centers(self, grid: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return x of each column and y of each row of the grid, in pixels.

        Grid and image share their center, whether the backbone pads or not.
        """
        rows, columns = (
            side / 2 + (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5 - length / 2) * self.stride
            for length, side in zip(grid, self.size, strict=True)
        )
        return columns, rows

    def _to_boxes(self, sides_B4HW: Tensor) -> Tensor:
        columns, rows = self._cell_centers((sides_B4HW.shape[2], sides_B4HW.shape[3]), sides_B4HW)
        shift_x, shift_y, log_width, log_height = sides_B4HW.unbind(1)
        center_x, center_y = columns + shift_x * self.stride, rows[:, None] + shift_y * self.stride
        half_width, half_height = (
            log_side.clamp(max=MAX_LOG_HALF_SIDE).exp() * self.stride for log_side in (log_width, log_height)
        )
        height, width = self.size
        left, right = (center_x - half_width) / width, (center_x + half_width) / width
        top, bottom = (center_y - half_height) / height, (center_y + half_height) / height
        return torch.stack([left, top, right, bottom], dim=1)

    def _losses(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        logits_BKP, boxes_B4P = outputs["middles"].float().flatten(2), outputs["boxes"].float().flatten(2)
        true_BM4, label_BM = batch["true_boxes"], batch["true_labels"]
        is_crowd_BM = batch.get("true_crowds", torch.zeros_like(label_BM, dtype=torch.bool))
        is_object_BM = (label_BM >= 0) & ~is_crowd_BM
        count = divisor(is_object_BM.sum())
        gaussian_BMP = self._gaussians(true_BM4, (outputs["middles"].shape[2], outputs["middles"].shape[3]))
        gaussian_BMP = gaussian_BMP * is_object_BM[:, :, None]
        index = label_BM.clamp(min=0)[:, :, None].expand(-1, -1, gaussian_BMP.shape[2])
        target_BKP = torch.zeros_like(logits_BKP).scatter_reduce(1, index, gaussian_BMP, "amax")
        box_loss = self._box_loss(boxes_B4P, true_BM4, gaussian_BMP)
        crowd_BMP = self._cells_within(true_BM4, (outputs["middles"].shape[2], outputs["middles"].shape[3]))
        crowd_BMP = (crowd_BMP & is_crowd_BM[:, :, None]).to(target_BKP.dtype)
        weight_BKP = 1 - torch.zeros_like(target_BKP).scatter_reduce(1, index, crowd_BMP, "amax")
        return _focal_loss(logits_BKP, target_BKP, weight_BKP) / count, box_loss / count

    def _cells_within(self, true_BM4: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return which cells have their center within a box, bool [B, M, P]."""
        height, width = self.size
        columns, rows = self._cell_centers(grid, true_BM4)
        left, top, right, bottom = (true_BM4 * true_BM4.new_tensor([width, height, width, height])).unbind(-1)
        is_across = (columns >= left[..., None]) & (columns <= right[..., None])
        is_down = (rows >= top[..., None]) & (rows <= bottom[..., None])
        return (is_down[..., :, None] & is_across[..., None, :]).flatten(2)

    def _gaussians(self, true_BM4: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return a Gaussian for each object, [B, M, P].

        It is 1 at the cell nearest to the center and decreases with the width and height of the object.
        """
        factors = []
        for axis, centers in enumerate(self._cell_centers(grid, true_BM4)):
            side = self.size[1 - axis]
            start, end = true_BM4[..., axis] * side, true_BM4[..., axis + 2] * side
            nearest = ((start + end) / 2 - centers[0]).div(self.stride).round().clamp(0, len(centers) - 1)
            distance = torch.arange(len(centers), device=true_BM4.device) - nearest[..., None]
            sigma = ((end - start) / self.stride * GAUSSIAN_SIGMA).clamp(min=0.2)[..., None]
            factors.append((-0.5 * (distance / sigma).square()).exp())
        columns, rows = factors
        return (rows[..., :, None] * columns[..., None, :]).flatten(2)

    def _box_loss(self, boxes_B4P: Tensor, true_BM4: Tensor, gaussian_BMP: Tensor) -> Tensor:
        """Return the sum over objects of 1 - generalized IoU.

        Each cell is trained to predict the smallest object near it.
        """
        height, width = self.size
        area_BM = (true_BM4[..., 2] - true_BM4[..., 0]) * (true_BM4[..., 3] - true_BM4[..., 1])
        is_near_BMP = gaussian_BMP > MIN_BOX_WEIGHT
        object_BP = torch.where(is_near_BMP, area_BM[:, :, None], math.inf).argmin(dim=1)
        gaussian_BP = gaussian_BMP.gather(1, object_BP[:, None])[:, 0] * is_near_BMP.any(dim=1)
        total_BM = torch.zeros_like(area_BM).scatter_add(1, object_BP, gaussian_BP)
        weight_BP = gaussian_BP / total_BM.gather(1, object_BP).clamp(min=1e-6)
        true_B4P = true_BM4.transpose(1, 2).gather(2, object_BP[:, None].expand(-1, 4, -1))
        scale = true_BM4.new_tensor([width, height, width, height])[:, None]
        return (weight_BP * (1 - _generalized_iou(boxes_B4P * scale, true_B4P * scale))).sum()


def _focal_loss(logits: Tensor, target: Tensor, background_weight: Tensor) -> Tensor:
    """Return the sum of the focal loss (Law & Deng 2018, equation 1).

    Easy cells and cells near a center count less, and background by its weight. All are [B, K, P].
    """
    probability = logits.sigmoid()
    center_term = functional.logsigmoid(logits) * (1 - probability).square()
    background_term = functional.logsigmoid(-logits) * probability.square() * (1 - target).pow(4) * background_weight
    return -torch.where(target >= 1, center_term, background_term).sum()


def _generalized_iou(boxes_B4P: Tensor, true_B4P: Tensor) -> Tensor:
    """Return the generalized intersection over union [B, P], from -1 to 1.

    Rezatofighi et al. 2019, algorithm 1.
    """
    boxes, true = boxes_B4P.unbind(1), true_B4P.unbind(1)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (boxes, true)]
    inner = [torch.maximum(boxes[0], true[0]), torch.maximum(boxes[1], true[1])]
    inner += [torch.minimum(boxes[2], true[2]), torch.minimum(boxes[3], true[3])]
    intersection = (inner[2] - inner[0]).clamp(min=0) * (inner[3] - inner[1]).clamp(min=0)
    union = (areas[0] + areas[1] - intersection).clamp(min=1e-6)
    width = torch.maximum(boxes[2], true[2]) - torch.minimum(boxes[0], true[0])
    height = torch.maximum(boxes[3], true[3]) - torch.minimum(boxes[1], true[1])
    enclosing = (width * height).clamp(min=1e-6)
    return intersection / union - (enclosing - union) / enclosing
