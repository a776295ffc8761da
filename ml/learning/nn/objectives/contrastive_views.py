"""Contrastive learning of image views: two views of one image are a pair.

B images, N = 2 B views, D width of a projection.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import gather_rows
from ml.learning.nn.objectives.base import Objective
from ml.preprocessing.image_sizes import image_encoder_options
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class ContrastiveViewsConfig(Config):
    """Strength of the augmentations of a view, and options of the contrastive loss."""

    temperature: float = Field(0.2, gt=0)
    projection: Count = 64
    rotation_degrees: float = Field(25.0, ge=0, le=180)
    shift: float = Field(0.15, ge=0, le=1, description="Fraction of the side of the image.")
    smallest_scale: float = Field(0.7, gt=0)
    largest_scale: float = Field(1.3, gt=0)
    shear: float = Field(0.3, ge=0)
    contrast: float = Field(0.4, ge=0, lt=1)
    erased: float = Field(
        0.3, ge=0, lt=1, description="Maximum side of the erased square, as a fraction of the side of the image."
    )
    mirror: bool = Field(False, description="Flip at random; for images that mean the same mirrored, unlike text.")


class ContrastiveViews(Objective):
    """SimCLR: match the two views of each image among all views of the batch."""

    name = "contrastive_views"
    summary = "Learn without labels: match two distorted views of one image"
    source = "Chen et al. 2020, arXiv:2002.05709 (SimCLR)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    scores = ("contrastive_accuracy",)
    config_type = ContrastiveViewsConfig

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read large images at a size that their number teaches."""
        return {"image": image_encoder_options(summary)}

    def __init__(self, config: ContrastiveViewsConfig, network: Network) -> None:
        super().__init__(config, network)
        width = network.widths["image"].pooled
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the normalized, temperature-scaled cross-entropy (equation 1) and the accuracy of the matches."""
        images = batch["image"]
        views = torch.cat([self.augment(images), self.augment(images)])
        projected_ND = functional.normalize(self.projection(self.network.embed({"image": views})).float(), dim=1)
        # Pairs side by side, so that the rows of other parts of the batch join those of both views.
        pairs_B2D = gather_rows(torch.stack(projected_ND.chunk(2), dim=1))
        projected_ND = pairs_B2D.transpose(0, 1).flatten(0, 1)
        similarity_NN = projected_ND @ projected_ND.T / self.config.temperature
        similarity_NN.fill_diagonal_(-math.inf)
        pair = torch.arange(len(projected_ND), device=views.device).roll(len(pairs_B2D))
        accuracy = (similarity_NN.argmax(dim=1) == pair).float().mean()
        return {"loss": functional.cross_entropy(similarity_NN, pair), "contrastive_accuracy": accuracy}

    def augment(self, images_BCHW: Tensor) -> Tensor:
        """Return a random view of each image: rotated, shifted, scaled, sheared, faded, partly erased."""
        config, count = self.config, len(images_BCHW)
        grid = functional.affine_grid(self._sample_affine(images_BCHW), list(images_BCHW.shape), align_corners=False)
        views: Tensor = functional.grid_sample(images_BCHW, grid, padding_mode="border", align_corners=False)
        strength, erased_x, erased_y, erased_side = torch.rand(4, count, 1, 1, device=images_BCHW.device)
        views = views * (1 - config.contrast * strength.unsqueeze(1))
        if not config.erased:
            return views
        height, width = images_BCHW.shape[-2:]
        x = torch.linspace(0, 1, width, device=views.device) - erased_x
        y = torch.linspace(0, 1, height, device=views.device).unsqueeze(1) - erased_y
        half = erased_side * config.erased / 2
        is_erased = (x.abs() < half) & (y.abs() < half)
        return views.masked_fill(is_erased.unsqueeze(1), 0)

    def _sample_affine(self, images: Tensor) -> Tensor:
        """Return a random affine matrix for each image, [B, 2, 3]."""
        config: ContrastiveViewsConfig
        config, count = self.config, len(images)
        uniform = torch.rand(6, count, device=images.device) * 2 - 1
        angle = uniform[0] * math.radians(config.rotation_degrees)
        mean = math.log(config.largest_scale * config.smallest_scale) / 2
        spread = math.log(config.largest_scale / config.smallest_scale) / 2
        scale = (mean + uniform[1] * spread).exp()
        shear = uniform[2] * config.shear
        mirror = uniform[5].sign() if config.mirror else torch.ones_like(scale)
        cosine, sine = angle.cos() / scale, angle.sin() / scale
        # Maps each pixel of the view to its source in the image, in coordinates from -1 to 1.
        top = torch.stack([cosine * mirror, shear * cosine - sine, uniform[3] * config.shift * 2], dim=1)
        bottom = torch.stack([sine * mirror, shear * sine + cosine, uniform[4] * config.shift * 2], dim=1)
        return torch.stack([top, bottom], dim=1)
