"""Masked image modeling: reconstruct the pixels of masked patches.

B images, C channels, H height, W width, P patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.objectives.base import Objective
from ml.preprocessing.image_sizes import image_encoder_options
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class MaskedImageModelingConfig(Config):
    """Fraction of an image that is masked, and the size of its patches."""

    hidden: float = Field(0.6, gt=0, lt=1, description="Fraction of the patches that are masked.")
    patches_across: Count = Field(
        7,
        description="Patches along the shorter side: of 4 pixels for 28, or of 32 for 224 as in the paper.",
    )


class MaskedImageModeling(Objective):
    """SimMIM: mask patches, and predict their pixels from the coarsest map by one linear layer.

    The paper masks tokens of a transformer. A convolutional backbone reads pixels, so masked pixels get a learned
    value.
    """

    name = "masked_image_modeling"
    summary = "Learn without labels: predict the pixels of masked patches"
    source = "Xie et al. 2021, arXiv:2111.09886 (SimMIM)"
    slots: ClassVar[Mapping[str, Slot]] = {
        "image": Slot(reads=frozenset({Signal.IMAGE}), needs=frozenset({Feature.MAPS}), default_architecture="cnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"image": "image"}
    encoders: ClassVar[Mapping[str, str]] = {"image": "image"}
    scores = ("blind_error",)
    config_type = MaskedImageModelingConfig

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read large images at a size that their number teaches."""
        return {"image": image_encoder_options(summary)}

    def __init__(self, config: MaskedImageModelingConfig, network: Network) -> None:
        super().__init__(config, network)
        widths = network.widths["image"]
        self.stride, channels = widths.strides[-1], widths.shape["channels"]
        self.veil = nn.Parameter(torch.full((channels, 1, 1), 0.5))
        self.pixels = nn.Conv2d(widths.maps[-1], channels * self.stride**2, 1)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean absolute error over masked pixels (section 3.4).

        `blind_error` is the error of predicting the mean color of the image.
        """
        image = batch["image"]
        is_masked = self.sample_mask(image)
        masked_image = torch.where(is_masked, self.veil, image)
        coarsest = self.network.extract_features({"image": masked_image})["image"][Feature.MAPS][-1]
        prediction = functional.pixel_shuffle(self.pixels(coarsest), self.stride).float()
        if prediction.shape[2:] != image.shape[2:]:
            prediction = functional.interpolate(prediction, size=image.shape[2:], mode="bilinear", align_corners=False)
        count = divisor(is_masked.sum() * image.shape[1])
        error = ((prediction - image).abs() * is_masked).sum() / count
        blind_error = ((image.mean(dim=(2, 3), keepdim=True) - image).abs() * is_masked).sum() / count
        return {"loss": error} if self.training else {"loss": error, "blind_error": blind_error}

    def sample_mask(self, image_BCHW: Tensor) -> Tensor:
        """Sample patches, bool [B, 1, H, W], the same number in each image."""
        height, width = image_BCHW.shape[2:]
        side = -(-min(height, width) // self.config.patches_across)
        rows, columns = -(-height // side), -(-width // side)
        priority_BP = torch.rand(len(image_BCHW), rows * columns, device=image_BCHW.device)
        count = min(max(1, round(self.config.hidden * rows * columns)), rows * columns)
        is_masked_BP = torch.zeros_like(priority_BP, dtype=torch.bool)
        is_masked_BP.scatter_(1, priority_BP.topk(count, dim=1).indices, True)
        patches = is_masked_BP.view(-1, 1, rows, columns)
        pixels = patches.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
        return pixels[..., :height, :width]
