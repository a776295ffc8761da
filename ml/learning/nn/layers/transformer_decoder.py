"""One layer of a Transformer decoder, over a whole target at once or token by token with what came before kept.

B batch, T target tokens, S source tokens, K beams, P tokens before, D width, H heads, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ml.learning.nn.layers.attention import FeedForward
from ml.learning.nn.layers.sdpa import attend


class DecoderLayer(nn.Module):
    """Attention to the tokens before, attention to the source, two dense layers (Vaswani et al. 2017, section 3.1).

    Normalised before each part and not after, so that no warm-up is needed (Xiong et al. 2020, arXiv:2002.04745).
    Keys and values of the source are made outside, once, and not at every token.
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
        for each in (self.self_in, self.self_out, self.source_in, self.source_out):
            nn.init.xavier_uniform_(each.weight)
            nn.init.zeros_(each.bias)

    def forward(self, hidden_BTD: Tensor, source_BS2D: Tensor, later: Tensor, padding: Tensor | None) -> Tensor:
        """Every position reads all of the source but its `padding`, and of the target all but what is `later`.

        Both are added to scores: [1, 1, T, T] and [B, 1, 1, S].
        """
        query, key, value = self.self_in(self.before_self(hidden_BTD)).chunk(3, dim=-1)
        seen = attend(self._split(query), self._split(key), self._split(value), later)
        hidden = hidden_BTD + self.dropout(self.self_out(_joined(seen)))
        return self._rest(hidden, source_BS2D, padding)

    def step(
        self, hidden_BKD: Tensor, past_BKP2D: Tensor, source_BS2D: Tensor, padding: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The next position of each beam, and the key and value [B, K, 2 D] that join its past."""
        query, new_key, new_value = self.self_in(self.before_self(hidden_BKD)).chunk(3, dim=-1)
        entry = torch.cat([new_key, new_value], dim=-1)
        known = torch.cat([past_BKP2D, entry.unsqueeze(2)], dim=2)
        key, value = known.chunk(2, dim=-1)
        batch, beams = hidden_BKD.shape[:2]
        # Each beam has a past of its own: beams are rows here, and positions of one query when the source is read.
        seen = attend(
            self._split(query.reshape(batch * beams, 1, -1)),
            self._split(key.flatten(0, 1)),
            self._split(value.flatten(0, 1)),
        )
        hidden = hidden_BKD + self.dropout(self.self_out(_joined(seen).reshape(batch, beams, -1)))
        return self._rest(hidden, source_BS2D, padding), entry

    def _rest(self, hidden: Tensor, source_BS2D: Tensor, padding: Tensor | None) -> Tensor:
        key, value = source_BS2D.chunk(2, dim=-1)
        query = self.source_in(self.before_source(hidden))
        read = attend(self._split(query), self._split(key), self._split(value), padding)
        hidden = hidden + self.dropout(self.source_out(_joined(read)))
        deeper: Tensor = hidden + self.dropout(self.dense(self.before_dense(hidden)))
        return deeper

    def _split(self, each_BTD: Tensor) -> Tensor:
        """[B, H, T, E]."""
        return each_BTD.reshape(*each_BTD.shape[:2], self.heads, -1).transpose(1, 2)


def _joined(each_BHTE: Tensor) -> Tensor:
    return each_BHTE.transpose(1, 2).flatten(2)
