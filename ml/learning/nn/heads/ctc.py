"""One letter, or none, for each frame; a text is what is left once repetitions and blanks are taken out.

B batch, T frames, L letters of a target, C letters known, the blank among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ml.config import Config
from ml.learning.nn.heads.base import Head, Tensors
from ml.signals import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.learning.nn.architectures.base import Features, Widths

BLANK = 0


class CTCConfig(Config):
    """`letters` comes from the data, the blank counted."""

    letters: int = Field(ge=2)
    dropout: float = Field(0.1, ge=0, lt=1)


class CTC(Head):
    """Connectionist temporal classification (Graves et al. 2006): the loss sums over all ways to spell the target."""

    name = "ctc"
    summary = "A letter or a blank for each frame, learned without knowing which frame belongs to which letter"
    needs = frozenset({Feature.SEQUENCE})
    config_type = CTCConfig
    outputs = ("logits",)
    scores = ("left_out",)

    def __init__(self, config: CTCConfig, *, widths: Mapping[str, Widths]) -> None:
        super().__init__(config, widths=widths)
        ((self.slot, read),) = widths.items()
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(read.sequence, config.letters)

    def forward(self, features: Mapping[str, Features], batch: Mapping[str, Tensor]) -> Tensors:
        """`logits` [B, T, C]."""
        return {"logits": self.linear(self.dropout(features[self.slot][Feature.SEQUENCE][0]))}

    def loss(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensor:
        """Against `text` int64 [B, L]: nats a letter, mean over the rows whose letters have frames enough."""
        fits = self._fits(batch)
        letters = batch["text_mask"].sum(dim=1)
        nats = functional.ctc_loss(
            outputs["logits"].float().log_softmax(dim=2).transpose(0, 1),
            batch["text"],
            batch[f"{self.slot}_mask"].sum(dim=1),
            letters,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return (nats / letters.clamp(min=1) * fits).sum() / fits.sum().clamp(min=1)

    def measure(self, outputs: Tensors, batch: Mapping[str, Tensor]) -> Tensors:
        """Share of rows that nothing can be learned from, having more letters than frames."""
        return {"left_out": 1 - self._fits(batch).float().mean()}

    def _fits(self, batch: Mapping[str, Tensor]) -> Tensor:
        """bool [B]: a frame for each letter, and one for the blank between two that are equal."""
        text, mask = batch["text"], batch["text_mask"]
        twins = ((text[:, 1:] == text[:, :-1]) & mask[:, 1:]).sum(dim=1)
        return mask.sum(dim=1) + twins <= batch[f"{self.slot}_mask"].sum(dim=1)
