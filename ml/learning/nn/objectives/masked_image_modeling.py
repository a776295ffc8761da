"""Learn without labels what a picture shows where it cannot be seen.

B images, C channels, H height, W width, P patches.
"""

from __future__ import annotations

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


class MaskedImageModelingConfig(Config):
    """How much is hidden, in how large pieces."""

    hidden: float = Field(0.6, gt=0, lt=1)
    """Share of the patches."""
    patches_across: Count = 7
    """Patches on the shorter side of the picture: 7 of 4 pixels on 28, or of 32 on 224 as in the paper."""


class MaskedImageModeling(Objective):
    """SimMIM: hide patches, read the pixels that were there off the coarsest map by one linear layer.

    Made for transformers, it hides tokens; a convolutional backbone reads pixels, so they take the learned value.
    """

    name = "masked_image_modeling"
    summary = "Learn without labels: guess the pixels of hidden patches"
    source = "Xie et al. 2021, arXiv:2111.09886 (SimMIM)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.MAPS}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    scores = ("blind_error",)
    config_type = MaskedImageModelingConfig

    def __init__(self, config: MaskedImageModelingConfig, network: Network) -> None:
        super().__init__(config, network)
        widths = network.widths["image"]
        self.stride, channels = widths.strides[-1], widths.shape["channels"]
        self.veil = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.pixels = nn.Conv2d(widths.maps[-1], channels * self.stride**2, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Mean absolute error over hidden pixels (section 3.4); `blind_error` is that of the picture's mean colour."""
        image = batch["image"]
        hidden = self.hide(image)
        veiled = torch.where(hidden, self.veil, image)
        coarsest = self.network.features({"image": veiled})["image"][Feature.MAPS][-1]
        drawn = functional.pixel_shuffle(self.pixels(coarsest), self.stride).float()
        if drawn.shape[2:] != image.shape[2:]:
            drawn = functional.interpolate(drawn, size=image.shape[2:], mode="bilinear", align_corners=False)
        count = (hidden.sum() * image.shape[1]).clamp(min=1)
        error = ((drawn - image).abs() * hidden).sum() / count
        blind = ((image.mean(dim=(2, 3), keepdim=True) - image).abs() * hidden).sum() / count
        return {"loss": error} if self.training else {"loss": error, "blind_error": blind}

    def hide(self, image_BCHW: Tensor) -> Tensor:
        """bool [B, 1, H, W]: true in patches that are hidden, as many in each picture, chosen anew each time."""
        height, width = image_BCHW.shape[2:]
        side = -(-min(height, width) // self.config.patches_across)
        down, across = -(-height // side), -(-width // side)
        chance_BP = torch.rand(len(image_BCHW), down * across, device=image_BCHW.device)
        count = min(max(1, round(self.config.hidden * down * across)), down * across)
        hidden = torch.zeros_like(chance_BP, dtype=torch.bool)
        hidden.scatter_(1, chance_BP.topk(count, dim=1).indices, True)
        patches = hidden.view(-1, 1, down, across)
        whole = patches.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
        return whole[..., :height, :width]
