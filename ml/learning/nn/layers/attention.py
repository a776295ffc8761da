"""Attention and the blocks that are built of it. Vaswani et al. 2017, Attention is all you need, section 3.

B batch, T places that ask, S places that are asked, D width, H heads.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn

from ml.learning.nn.layers.sdpa import attend

UNSEEN: Final = -1e4
"""Added to the score of what must not be seen. Its share is zero exactly, in half precision too, and where a place
may see nothing at all the shares are even, not undefined as they were with infinity."""

Norm = Literal["before", "after"]
"""Layer normalisation after each sum (section 5.4), or before each part (Xiong et al. 2020, arXiv:2002.04745), which
trains at high learning rates without a warm-up."""
Activation = Literal["relu", "gelu"]


def hidden(seen: Tensor) -> Tensor:
    """From bool to what is added to scores, of one shape: [B, 1, T or 1, S]."""
    return (1 - seen.float()) * UNSEEN


def attention_mask(mask_BS: Tensor) -> Tensor:
    """Whatever is no padding may be seen from everywhere: bool [B, 1, 1, S]. For the past alone: `layers.causal`."""
    return mask_BS[:, None, None, :]


class Attention(nn.Module):
    """Several heads, each a soft look-up (section 3.2.2).

    In two steps, so that what was read once need not be read again: `read` makes keys and values, `forward` looks.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        for each in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(each.weight)
            nn.init.zeros_(each.bias)

    def read(self, asked_BSD: Tensor) -> Tensor:
        """Keys and values side by side, [B, S, 2 D]."""
        return torch.cat([self.key(asked_BSD), self.value(asked_BSD)], dim=2)

    def forward(self, asking_BTD: Tensor, read_BSE: Tensor, hidden_BHTS: Tensor | None = None) -> Tensor:
        """[B, T, D]; of what `read` gave, and without what `hidden` says."""
        key, value = read_BSE.chunk(2, dim=2)
        found_BHTD = attend(
            self._split(self.query(asking_BTD)),
            self._split(key),
            self._split(value),
            hidden_BHTS,
            dropout=self.dropout if self.training else 0.0,
        )
        rows, _, places, _ = found_BHTD.shape
        mixed: Tensor = self.output(found_BHTD.transpose(1, 2).reshape(rows, places, -1))
        return mixed

    def _split(self, each_BTD: Tensor) -> Tensor:
        rows, places, width = each_BTD.shape
        return each_BTD.reshape(rows, places, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two layers, each place for itself (section 3.3)."""

    def __init__(self, width: int, inner: int, *, dropout: float = 0.0, activation: Activation = "relu") -> None:
        first, second = nn.Linear(width, inner), nn.Linear(inner, width)
        for each in (first, second):
            nn.init.xavier_uniform_(each.weight)
            nn.init.zeros_(each.bias)
        super().__init__(first, nn.ReLU() if activation == "relu" else nn.GELU(), nn.Dropout(dropout), second)


class Layer(nn.Module):
    """Attention over the sequence itself, then the feed-forward layers; each added to what it reads (section 3.1).

    A mask that hides the future makes a language model of it.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        *,
        dropout: float = 0.0,
        norm: Norm = "after",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout=dropout)
        self.feed_forward = FeedForward(width, inner, dropout=dropout, activation=activation)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.before = norm == "before"

    def forward(
        self, sequence_BTD: Tensor, hidden_BHTS: Tensor | None = None, *, past_BPE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sequence, and what of it was read, [B, P + T, 2 D]: the `past` of the next call."""
        asking = self._ready(sequence_BTD, 0)
        read_BSE = self.attention.read(asking)
        if past_BPE is not None:
            read_BSE = torch.cat([past_BPE, read_BSE], dim=1)
        sequence_BTD = self._added(sequence_BTD, self.attention(asking, read_BSE, hidden_BHTS), 0)
        made = self.feed_forward(self._ready(sequence_BTD, 1))
        return self._added(sequence_BTD, made, 1), read_BSE

    def _ready(self, sequence_BTD: Tensor, part: int) -> Tensor:
        return self.norms[part](sequence_BTD) if self.before else sequence_BTD

    def _added(self, sequence_BTD: Tensor, made_BTD: Tensor, part: int) -> Tensor:
        summed = sequence_BTD + self.dropout(made_BTD)
        return summed if self.before else self.norms[part](summed)  # type: ignore[no-any-return]  # nn.Module.__call__
