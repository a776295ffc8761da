"""Gated sum: features weighted by a softmax over the parts that a row has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ml.learning.nn.fusions.base import Fusion
from ml.learning.nn.layers.attention import to_attention_bias

if TYPE_CHECKING:
    from collections.abc import Mapping


class GatedSum(Fusion):
    """Weights the features of present parts by the softmax of their scores."""

    name = "gated_sum"
    summary = "Sum of the features, weighted by a softmax over the parts of the row"
    source = "Arevalo et al. 2017, Gated multimodal units, arXiv:1702.01992, with a softmax over any number of parts"

    def __init__(self, widths: Mapping[str, int], *, width: int, dropout: float) -> None:
        super().__init__(widths, width=width, dropout=dropout)
        self.gates = nn.ModuleDict({slot: nn.Linear(width, 1) for slot in widths})

    def forward(self, projected_BSW: Tensor, present_BS: Tensor) -> Tensor:
        """Return [B, W], the weighted sum."""
        scores = [gate(projected_BSW[:, index]) for index, gate in enumerate(self.gates.values())]
        weights_BS = (torch.cat(scores, dim=1).float() + to_attention_bias(present_BS)).softmax(dim=1)
        return (weights_BS.to(projected_BSW.dtype)[:, :, None] * projected_BSW).sum(dim=1)
