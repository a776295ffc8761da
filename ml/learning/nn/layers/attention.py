"""Multi-head attention and Transformer layers.

Vaswani et al. 2017, Attention is all you need, section 3.

B batch, T query positions, S key positions, P past positions, D width, H heads, E width of a head.
"""

from __future__ import annotations

from typing import Final, Literal

from torch import Tensor, nn

from ml.learning.nn.layers.sdpa import Past, attend, attend_behind

#: Added to the scores of masked positions. Their attention weight is exactly zero, also in half precision, and a query
#: that may attend to nothing gets uniform weights, which infinity would leave undefined.
MASKED_SCORE: Final = -1e4

#: Layer normalization after each residual sum (section 5.4), or before each sublayer (Xiong et al. 2020,
#: arXiv:2002.04745), which trains at high learning rates without a warm-up.
Norm = Literal["before", "after"]
Activation = Literal["relu", "gelu"]


def to_attention_bias(mask: Tensor) -> Tensor:
    """Convert a bool mask, true where attention is allowed, to a bias added to scores.

    Both have the same shape, [B, 1, T or 1, S].
    """
    return (1 - mask.float()) * MASKED_SCORE


def padding_mask(mask_BS: Tensor) -> Tensor:
    """Return the attention mask, bool [B, 1, 1, S], that hides padding from all queries.

    `layers.causal_mask` hides the future as well.
    """
    return mask_BS[:, None, None, :]


class Attention(nn.Module):
    """Multi-head attention (section 3.2.2).

    It has two steps, so that keys and values can be cached: `project` computes them, `forward` attends to them.
    """

    def __init__(self, width: int, heads: int, *, head_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        inner = heads * (head_width or width // heads)
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def project(self, source_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, [B, H, S, E]."""
        return self._split_heads(self.key(source_BSD)), self._split_heads(self.value(source_BSD))

    def forward(
        self,
        input_BTD: Tensor,
        key_value: tuple[Tensor, Tensor],
        bias_BHTS: Tensor | None = None,
        *,
        past: Past | None = None,
    ) -> Tensor:
        """Return attention of the input to keys and values, [B, T, D].

        They are those of `project`, behind those of the past. The bias is added to the scores (`to_attention_bias`);
        attention to a past has one.
        """
        query = self._split_heads(self.query(input_BTD))
        if past is None or bias_BHTS is None:
            context_BHTE = attend(query, *key_value, bias_BHTS, dropout=self.dropout if self.training else 0.0)
        else:
            context_BHTE = attend_behind(query, past, *key_value, bias_BHTS, scale=query.shape[3] ** -0.5)
        rows, _, length, _ = context_BHTE.shape
        output: Tensor = self.output(context_BHTE.transpose(1, 2).reshape(rows, length, -1))
        return output

    def _split_heads(self, tensor_BTD: Tensor) -> Tensor:
        rows, length, width = tensor_BTD.shape
        return tensor_BTD.reshape(rows, length, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Position-wise feed-forward network of two layers (section 3.3)."""

    def __init__(self, width: int, inner: int, *, dropout: float = 0.0, activation: Activation = "relu") -> None:
        first, second = nn.Linear(width, inner), nn.Linear(inner, width)
        for linear in (first, second):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        super().__init__(first, nn.ReLU() if activation == "relu" else nn.GELU(), nn.Dropout(dropout), second)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection (section 3.1).

    With a causal mask it is the layer of a decoder-only language model.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        *,
        head_width: int | None = None,
        dropout: float = 0.0,
        norm: Norm = "after",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads, head_width=head_width, dropout=dropout)
        self.feed_forward = FeedForward(width, inner, dropout=dropout, activation=activation)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.is_norm_first = norm == "before"

    def forward(
        self, sequence_BTD: Tensor, bias_BHTS: Tensor | None = None, *, past: Past | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the transformed sequence with its keys and values, [B, H, T, E].

        Those of earlier calls, joined, let a call with `past` continue the sequence.
        """
        input_BTD = self._norm_before(sequence_BTD, 0)
        key_value = self.attention.project(input_BTD)
        attended_BTD = self.attention(input_BTD, key_value, bias_BHTS, past=past)
        sequence_BTD = self._add_residual(sequence_BTD, attended_BTD, 0)
        output_BTD = self.feed_forward(self._norm_before(sequence_BTD, 1))
        return self._add_residual(sequence_BTD, output_BTD, 1), key_value

    def _norm_before(self, sequence_BTD: Tensor, sublayer: int) -> Tensor:
        return self.norms[sublayer](sequence_BTD) if self.is_norm_first else sequence_BTD

    def _add_residual(self, sequence_BTD: Tensor, output_BTD: Tensor, sublayer: int) -> Tensor:
        total = sequence_BTD + self.dropout(output_BTD)
        return total if self.is_norm_first else self.norms[sublayer](total)  # type: ignore[no-any-return]  # nn.Module.__call__
