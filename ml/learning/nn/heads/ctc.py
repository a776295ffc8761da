"""CTC head: one character or blank for each frame of audio.

B batch, T frames, L characters of a target, C characters of the alphabet and the blank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.batch_parts import divisor
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

BLANK = 0


class CTCConfig(Config):
    """Options of the CTC head. The number of characters comes from the data."""

    characters: int = Field(ge=2, description="Characters of the alphabet and the blank.")
    dropout: float = Field(0.1, ge=0, lt=1)


class CTC(Head):
    """Connectionist temporal classification (Graves et al. 2006).

    The loss sums over all alignments of the target with the frames; removing repetitions and blanks from an alignment
    gives its text.
    """

    name = "ctc"
    summary = "One character or blank for each frame, learned without knowing their alignment"
    needs = frozenset({Feature.SEQUENCE})
    config_type = CTCConfig
    outputs = ("logits",)
    scores = ("left_out",)

    def __init__(self, config: CTCConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, backbone),) = widths.items()
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(backbone.sequence, config.characters)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """Return `logits` [B, T, C]."""
        return {"logits": self.linear(self.dropout(features[self.slot][Feature.SEQUENCE][0]))}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss in nats per character against `text`, int64 [B, L].

        It is the mean over the rows that have enough frames for their characters.
        """
        fits = self._fits_frames(batch)
        characters = batch["text_mask"].sum(dim=1)
        row_loss = functional.ctc_loss(
            outputs["logits"].float().log_softmax(dim=2).transpose(0, 1),
            batch["text"],
            batch[f"{self.slot}_mask"].sum(dim=1),
            characters,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return (row_loss / characters.clamp(min=1) * fits).sum() / divisor(fits.sum())

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the fraction of rows that are ignored because they have more characters than frames."""
        return {"left_out": 1 - self._fits_frames(batch).float().mean()}

    def _fits_frames(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return whether a row has enough frames for its characters, bool [B].

        It needs a frame for each character, and one for the blank between two equal characters.
        """
        text, mask = batch["text"], batch["text_mask"]
        repeats = ((text[:, 1:] == text[:, :-1]) & mask[:, 1:]).sum(dim=1)
        return mask.sum(dim=1) + repeats <= batch[f"{self.slot}_mask"].sum(dim=1)
