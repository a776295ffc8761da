"""Transformer: attention between the parts of a row, one token for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from ml.learning.nn.fusions.base import Fusion
from ml.learning.nn.layers.attention import TransformerLayer, padding_mask, to_attention_bias

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS: Final = 2
HEADS: Final = 4
#: Standard deviation of new embeddings of slots.
DEVIATION: Final = 0.02


class TransformerFusion(Fusion):
    """Two layers over a summary token, the joined feature, and one token per part."""

    name = "transformer"
    summary = "Two layers of attention between the parts of the row"
    source = "Vaswani et al. 2017, Attention is all you need; summary token as in Devlin et al. 2018, arXiv:1810.04805"

    def __init__(self, widths: Mapping[str, int], *, width: int, dropout: float) -> None:
        super().__init__(widths, width=width, dropout=dropout)
        self.embedding = nn.Parameter(torch.randn(1 + len(widths), width) * DEVIATION)
        self.layers = nn.ModuleList(
            TransformerLayer(width, HEADS, 2 * width, dropout=dropout, norm="before", activation="gelu")
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, projected_BSW: Tensor, present_BS: Tensor) -> Tensor:
        """Return [B, W], the summary token after attention to the present parts."""
        # The summary begins with the mean of the present parts, from which all backbones learn at once.
        weights_BS = present_BS.to(projected_BSW.dtype)
        weights_BS = weights_BS / weights_BS.sum(dim=1, keepdim=True).clamp(min=1)
        mean_B1W = (weights_BS[:, :, None] * projected_BSW).sum(dim=1, keepdim=True)
        tokens = torch.cat([mean_B1W, projected_BSW], dim=1) + self.embedding
        mask = torch.cat([torch.ones_like(present_BS[:, :1]), present_BS], dim=1)
        bias = to_attention_bias(padding_mask(mask))
        for layer in self.layers:
            tokens, _ = layer(tokens, bias)
        fused: Tensor = self.norm(tokens[:, 0])
        return fused
