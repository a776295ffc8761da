"""Learn without labels that two views of one image are the same, and those of two images are not.

B images, N = 2 B views, D width of a projection.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.objectives.base import Objective
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class ContrastiveViewsConfig(Config):
    """How far a view may stray from its image, and how sharply views are told apart."""

    temperature: float = Field(0.2, gt=0)
    projection: Count = 64
    rotation_degrees: float = Field(25.0, ge=0, le=180)
    shift: float = Field(0.15, ge=0, le=1)
    """Share of the image's side."""
    smallest_scale: float = Field(0.7, gt=0)
    largest_scale: float = Field(1.3, gt=0)
    shear: float = Field(0.3, ge=0)
    contrast: float = Field(0.4, ge=0, lt=1)
    erased: float = Field(0.3, ge=0, lt=1)
    """Largest share of the image's side that a blank square hides."""
    mirror: bool = False
    """Left and right alike: true of cats, not of letters."""


class ContrastiveViews(Objective):
    """SimCLR: a projection of each view must be nearest to that of its twin."""

    name = "contrastive_views"
    summary = "Learn without labels: two distorted views of one image belong together"
    source = "Chen et al. 2020, arXiv:2002.05709 (SimCLR)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.POOLED}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    scores = ("contrastive_accuracy",)
    config_type = ContrastiveViewsConfig

    def __init__(self, config: ContrastiveViewsConfig, network: Network) -> None:
        super().__init__(config, network)
        width = network.widths["image"].pooled
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The normalised, temperature-scaled cross-entropy (equation 1), and how often the twin is nearest."""
        images = batch["image"]
        views = torch.cat([self.view(images), self.view(images)])
        projected_ND = functional.normalize(self.projection(self.network.embed({"image": views})).float(), dim=1)
        likeness_NN = projected_ND @ projected_ND.T / self.config.temperature
        likeness_NN.fill_diagonal_(-math.inf)
        twin = torch.arange(len(views), device=views.device).roll(len(images))
        nearest = (likeness_NN.argmax(dim=1) == twin).float().mean()
        return {"loss": functional.cross_entropy(likeness_NN, twin), "contrastive_accuracy": nearest}

    def view(self, images_BCHW: Tensor) -> Tensor:
        """One random view of each image: turned, shifted, scaled, sheared, faded, partly hidden."""
        config, count = self.config, len(images_BCHW)
        places = functional.affine_grid(self._distortions(images_BCHW), list(images_BCHW.shape), align_corners=False)
        views: Tensor = functional.grid_sample(images_BCHW, places, padding_mode="border", align_corners=False)
        strength, hidden_x, hidden_y, hidden_side = torch.rand(4, count, 1, 1, device=images_BCHW.device)
        views = views * (1 - config.contrast * strength.unsqueeze(1))
        if not config.erased:
            return views
        height, width = images_BCHW.shape[-2:]
        across = torch.linspace(0, 1, width, device=views.device) - hidden_x
        down = torch.linspace(0, 1, height, device=views.device).unsqueeze(1) - hidden_y
        half = hidden_side * config.erased / 2
        hidden = (across.abs() < half) & (down.abs() < half)
        return views.masked_fill(hidden.unsqueeze(1), 0)

    def _distortions(self, images: Tensor) -> Tensor:
        config: ContrastiveViewsConfig
        config, count = self.config, len(images)
        uniform = torch.rand(6, count, device=images.device) * 2 - 1
        angle = uniform[0] * math.radians(config.rotation_degrees)
        middle = math.log(config.largest_scale * config.smallest_scale) / 2
        spread = math.log(config.largest_scale / config.smallest_scale) / 2
        scale = (middle + uniform[1] * spread).exp()
        shear = uniform[2] * config.shear
        mirror = uniform[5].sign() if config.mirror else torch.ones_like(scale)
        cosine, sine = angle.cos() / scale, angle.sin() / scale
        # Where each pixel of the view is taken from, in coordinates from -1 to 1.
        top = torch.stack([cosine * mirror, shear * cosine - sine, uniform[3] * config.shift * 2], dim=1)
        bottom = torch.stack([sine * mirror, shear * sine + cosine, uniform[4] * config.shift * 2], dim=1)
        return torch.stack([top, bottom], dim=1)
