"""Embedding of records: numbers piecewise linearly, categories by tables.

B batch, N numbers, C categorical columns, K bins of a number, E width of an embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Values of one number in the signal: normalized, as a quantile, whether it is missing.
VALUES_PER_NUMBER: Final = 3


class RecordEmbedding(nn.Module):
    """Embeds each number and each category of a record, and concatenates the embeddings.

    Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep Learning, arXiv:2203.05556: a number is
    encoded piecewise linearly in bins between quantiles (section 3.2), then by a linear layer of its own and ReLU
    (section 3.4, `Q-LR`). The encoder interpolates quantiles, so bins of equal width are bins between quantiles here.
    The normalized number and the mark of a missing one are inputs of the linear layer as well.
    """

    def __init__(self, shape: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.numbers = shape["numbers"]
        self.bins = shape["quantile_bins"]
        self.linear = _ColumnLinear(self.numbers, self.bins + 2, width) if self.numbers else None
        self.table = nn.Embedding(max(1, shape["categories"]), width) if shape["categorical"] else None
        if self.table is not None:
            nn.init.normal_(self.table.weight, std=width**-0.5)
        #: Number of values of the concatenated embeddings.
        self.width = width * (self.numbers + shape["categorical"])

    def forward(self, signal: Tensor) -> Tensor:
        """Embed float32 [B, 3 N + C] to float [B, E (N + C)]."""
        count = VALUES_PER_NUMBER * self.numbers
        parts = []
        if self.linear is not None:
            values_BN3 = signal[:, :count].reshape(-1, self.numbers, VALUES_PER_NUMBER)
            normalized_BN, quantile_BN, missing_BN = values_BN3.unbind(2)
            position_BNK = quantile_BN.unsqueeze(2) * self.bins - torch.arange(self.bins, device=signal.device)
            inputs = torch.cat([position_BNK.clamp(0, 1), normalized_BN.unsqueeze(2), missing_BN.unsqueeze(2)], dim=2)
            parts.append(self.linear(inputs).relu().flatten(1))
        if self.table is not None:
            parts.append(self.table(signal[:, count:].long()).flatten(1))
        return torch.cat(parts, dim=1)


class _ColumnLinear(nn.Module):
    """A linear layer for each of N columns, from I inputs to E outputs."""

    def __init__(self, columns: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(columns, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(columns, outputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)

    def forward(self, inputs_BNI: Tensor) -> Tensor:
        """Return float [B, N, E]."""
        return (inputs_BNI.unsqueeze(2) @ self.weight).squeeze(2) + self.bias
