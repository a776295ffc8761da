"""Masked audio modeling: reconstruct masked spans of an audio clip.

B batch, T frames, F bins of a frame, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config, Count
from ml.learning.nn.batch_parts import reweight
from ml.learning.nn.objectives.base import Objective
from ml.signals import Feature, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network


class MaskedAudioConfig(Config):
    """Fraction of an audio clip that is masked, and the length of its spans."""

    mask_fraction: float = Field(0.4, gt=0, lt=1, description="Approximate fraction of the frames that are masked.")
    span: Count = Field(
        6,
        description="Consecutive masked frames. 6 are 120 ms with the default encoder, the length of a vowel; a single "
        "frame can be interpolated from its neighbors without any knowledge of speech.",
    )


class MaskedAudio(Objective):
    """Mockingjay: set spans of frames to zero, and reconstruct them from their context."""

    name = "masked_audio"
    summary = "Learn without texts: reconstruct masked spans of an audio clip"
    source = "Liu et al. 2020, Mockingjay, arXiv:1910.12638; spans as in wav2vec 2.0, Baevski et al. 2020"
    slots: ClassVar[Mapping[str, Slot]] = {
        "audio": Slot(reads=frozenset({Signal.FRAMES}), needs=frozenset({Feature.SEQUENCE}), default_architecture="rnn")
    }
    columns: ClassVar[Mapping[str, str]] = {"audio": "audio"}
    encoders: ClassVar[Mapping[str, str]] = {"audio": "log_mel"}
    scores = ("explained",)
    config_type = MaskedAudioConfig

    def __init__(self, config: MaskedAudioConfig, network: Network) -> None:
        super().__init__(config, network)
        widths = network.widths["audio"]
        self.rebuild = nn.Linear(widths.sequence, widths.shape["bins"])

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the mean absolute error over masked frames, and the explained fraction of their variance."""
        frames_BTF, mask_BT = batch["audio"], batch["audio_mask"]
        is_masked_BT = self.sample_spans(mask_BT)
        # Frames are normalized, so a frame of zeros carries no information.
        input_BTF = frames_BTF.masked_fill(is_masked_BT.unsqueeze(2), 0)
        features = self.network.extract_features({**batch, "audio": input_BTF})["audio"]
        prediction_NF = self.rebuild(features[Feature.SEQUENCE][0]).float()[is_masked_BT]
        target_NF = frames_BTF[is_masked_BT]
        error = (prediction_NF - target_NF).square().mean()
        variance = (target_NF - target_NF.mean(dim=0)).square().mean()
        return {
            "loss": reweight(functional.l1_loss(prediction_NF, target_NF), len(target_NF)),
            "explained": 1 - error / variance.clamp(min=1e-6),
        }

    def sample_spans(self, mask_BT: Tensor) -> Tensor:
        """Sample spans of real frames, bool [B, T], at least one in each row."""
        config, device = self.config, mask_BT.device
        length = mask_BT.shape[1]
        # Spans that start with this probability cover the fraction `share`, overlaps included.
        probability = 1 - (1 - config.mask_fraction) ** (1 / config.span)
        starts_BT = torch.rand(mask_BT.shape, device=device) < probability
        first_B1 = (torch.rand(len(mask_BT), 1, device=device) * mask_BT.sum(dim=1, keepdim=True)).long()
        starts_BT = starts_BT.scatter(1, first_B1, True)
        covered_BT = functional.max_pool1d(
            functional.pad(starts_BT.float(), (config.span - 1, 0)).unsqueeze(1), config.span, stride=1
        )
        return (covered_BT.squeeze(1)[:, :length] > 0) & mask_BT
