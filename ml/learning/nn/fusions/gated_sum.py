"""Gated sum: features of present parts, weighted by gates that see all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from ml.learning.nn.fusions.base import Fusion

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A new gate is half open: it lets features pass as they are, and may double or close.
MAX_GATE: Final = 2.0


class GatedSum(Fusion):
    """Sums the features of present parts, each times a gate.

    The gates do not sum to 1: two parts that say different things about a number add up, which no mean of what they say
    alone can express.
    """

    name = "gated_sum"
    summary = "Sum of the features, weighted by gates that see all parts of the row"
    source = "Arevalo et al. 2017, Gated multimodal units, arXiv:1702.01992, section 3.1, with one gate for each part"

    def __init__(self, widths: Mapping[str, int], *, width: int, dropout: float) -> None:
        super().__init__(widths, width=width, dropout=dropout)
        self.gates = nn.Linear(len(widths) * (width + 1), len(widths))
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(self, projected_BSW: Tensor, present_BS: Tensor) -> Tensor:
        """Return [B, W], the weighted sum."""
        is_present_BS = present_BS.to(projected_BSW.dtype)
        present_BSW = projected_BSW * is_present_BS[:, :, None]
        gates_BS: Tensor = MAX_GATE * self.gates(torch.cat([present_BSW.flatten(1), is_present_BS], dim=1)).sigmoid()
        return (gates_BS[:, :, None] * present_BSW).sum(dim=1)
