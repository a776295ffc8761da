"""Transformer decoder layer.

It computes a whole target at once, or one token at a time with cached keys and values.

B batch, T target tokens, S source tokens, K beams, P past tokens, D width, H heads, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ml.learning.nn.layers.attention import FeedForward
from ml.learning.nn.layers.sdpa import attend


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention, feed-forward network (Vaswani et al. 2017, section 3.1).

    Normalization comes before each sublayer, so that no warm-up is needed (Xiong et al. 2020, arXiv:2002.04745). Keys
    and values of the source are arguments: they are computed once, not for each token.
    """

    def __init__(self, width: int, *, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_self, self.before_source, self.before_dense = (nn.LayerNorm(width) for _ in range(3))
        self.self_in = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.source_in = nn.Linear(width, width)
        self.source_out = nn.Linear(width, width)
        self.dense = FeedForward(width, feedforward)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.self_in, self.self_out, self.source_in, self.source_out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, hidden_BTD: Tensor, source_BS2D: Tensor, causal_bias: Tensor, padding_bias: Tensor | None
    ) -> Tensor:
        """Transform all positions at once.

        The biases are added to the scores of self-attention, [1, 1, T, T], and of cross-attention, [B, 1, 1, S].
        """
        query, key, value = self.self_in(self.before_self(hidden_BTD)).chunk(3, dim=-1)
        context = attend(self._split_heads(query), self._split_heads(key), self._split_heads(value), causal_bias)
        hidden = hidden_BTD + self.dropout(self.self_out(_join_heads(context)))
        return self._attend_source(hidden, source_BS2D, padding_bias)

    def step(
        self, hidden_BKD: Tensor, past_BKP2D: Tensor, source_BS2D: Tensor, padding_bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Transform the next position of each beam.

        Also returns its key and value, [B, K, 2 D], to be appended to the past.
        """
        query, new_key, new_value = self.self_in(self.before_self(hidden_BKD)).chunk(3, dim=-1)
        entry = torch.cat([new_key, new_value], dim=-1)
        key, value = torch.cat([past_BKP2D, entry.unsqueeze(2)], dim=2).chunk(2, dim=-1)
        batch, beams = hidden_BKD.shape[:2]
        # Each beam has a past of its own: beams are rows here, and positions of one query in cross-attention.
        context = attend(
            self._split_heads(query.reshape(batch * beams, 1, -1)),
            self._split_heads(key.flatten(0, 1)),
            self._split_heads(value.flatten(0, 1)),
        )
        hidden = hidden_BKD + self.dropout(self.self_out(_join_heads(context).reshape(batch, beams, -1)))
        return self._attend_source(hidden, source_BS2D, padding_bias), entry

    def _attend_source(self, hidden: Tensor, source_BS2D: Tensor, padding_bias: Tensor | None) -> Tensor:
        key, value = source_BS2D.chunk(2, dim=-1)
        query = self.source_in(self.before_source(hidden))
        context = attend(self._split_heads(query), self._split_heads(key), self._split_heads(value), padding_bias)
        hidden = hidden + self.dropout(self.source_out(_join_heads(context)))
        output: Tensor = hidden + self.dropout(self.dense(self.before_dense(hidden)))
        return output

    def _split_heads(self, tensor_BTD: Tensor) -> Tensor:
        """Return [B, H, T, E]."""
        return tensor_BTD.reshape(*tensor_BTD.shape[:2], self.heads, -1).transpose(1, 2)


def _join_heads(tensor_BHTE: Tensor) -> Tensor:
    return tensor_BHTE.transpose(1, 2).flatten(2)
