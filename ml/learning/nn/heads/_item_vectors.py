"""Vectors of items, from their texts and from vectors of their own.

V items, L tokens of a text, N items of a look-up, U different ones, B batch, T positions, D width.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.signals import Feature

#: Items whose texts are read at a time when the table of all items is computed.
ITEMS_PER_READ: Final = 1024
PADDING: Final = 0


class ItemVectors(nn.Module):
    """Table of all items, [V, D]: `own_vector * is_seen + projection(text)`.

    The own vectors are the token embedding of the backbone that reads histories, whose look-up returns rows of this
    table once `bind` was called. Training reads only the texts of the items of a look-up, and leaves out own vectors at
    random, as an unseen item has none. In evaluation the table is computed once.
    """

    tokens: Tensor
    lengths: Tensor

    def __init__(
        self, vocabulary: int, *, length: int, text_width: int, width: int, own: int, own_dropout: float
    ) -> None:
        """Make an empty table.

        Args:
            vocabulary: Items, with padding and start.
            length: Tokens of a text.
            text_width: Width of the features of a text.
            width: Width of the vectors.
            own: The first items, which have a vector of their own.
            own_dropout: Fraction of own vectors that a training step leaves out.
        """
        super().__init__()
        self.register_buffer("tokens", torch.zeros(vocabulary, length, dtype=torch.int32))
        #: 0 for an item without a text.
        self.register_buffer("lengths", torch.zeros(vocabulary, dtype=torch.int32))
        self.projection = nn.Linear(text_width, width, bias=False)
        self.own = own
        self.own_dropout = own_dropout
        #: Embedding of own vectors and reader of texts, which are part of the network elsewhere.
        self._bound: tuple[nn.Embedding, nn.Module] | None = None
        self._table_VD: Tensor | None = None
        self._table_key: list[tuple[int, int]] = []
        #: Vectors of the histories that were read last in training, [B, T, D]: targets are among their items.
        self.embedded_BTD: Tensor | None = None
        #: Vectors to add at each position of the next histories, [B, T, D]; None for nothing.
        self.added_BTD: Tensor | None = None

    def bind(self, own: nn.Embedding, reader: nn.Module) -> None:
        """Receive the embedding of the own vectors, and the backbone that reads texts."""
        self._bound = (own, reader)
        own.register_forward_hook(self._embed)

    def set_texts(self, tokens_VL: Tensor, mask_VL: Tensor) -> None:
        """Store the texts of all items, cut to the length of the table."""
        width = min(tokens_VL.shape[1], self.tokens.shape[1])
        self.tokens.zero_()
        self.tokens[:, :width] = tokens_VL[:, :width].to(torch.int32)
        self.lengths.copy_(mask_VL[:, :width].sum(dim=1))

    def project(self, features: dict[Feature, tuple[Tensor, ...]]) -> Tensor:
        """Return the vectors of items that are known by their texts alone, [N, D]."""
        vectors_ND: Tensor = self.projection(features[Feature.POOLED][0])
        return vectors_ND

    def look_up(self, codes_N: Tensor) -> Tensor:
        """Return the vectors of items, [N, D]."""
        if not self.training:
            return self.table()[codes_N]
        self._table_VD = None  # some optimizers change weights without a new version
        codes_U, positions_N = torch.unique(codes_N, return_inverse=True)
        own, _ = self._require_bound()
        # `functional`, not the module, whose look-up returns whole vectors.
        own_UD = functional.embedding(codes_U, own.weight) * self._own_scale(codes_U)
        return (own_UD + self._read(codes_U))[positions_N]

    def table(self) -> Tensor:
        """Return the vectors of all items, [V, D], as a constant.

        They are computed anew if a weight has changed since.
        """
        key = self._versions()
        if self._table_VD is None or key != self._table_key:
            self._table_key = key
            with torch.no_grad():
                codes_V = torch.arange(len(self.tokens), device=self.tokens.device)
                own, _ = self._require_bound()
                own_VD = own.weight * self._own_scale(codes_V)
                texts = [self._read(codes_N) for codes_N in torch.split(codes_V, ITEMS_PER_READ)]
                self._table_VD = own_VD + torch.cat(texts)
        return self._table_VD

    def _embed(self, module: nn.Module, inputs: tuple[Tensor, ...], own_BTD: Tensor) -> Tensor:
        """Replace the own vectors of histories, int64 [B, T], by vectors of the table."""
        codes_BT = inputs[0]
        vectors_BTD: Tensor = self.look_up(codes_BT.flatten()).view(*codes_BT.shape, -1)
        self.embedded_BTD = vectors_BTD if self.training else None
        return vectors_BTD if self.added_BTD is None else vectors_BTD + self.added_BTD

    def _read(self, codes_N: Tensor) -> Tensor:
        """Return what the texts say, [N, D]; zeros for an item without a text."""
        _, reader = self._require_bound()
        lengths_N = self.lengths[codes_N]
        longest = max(1, int(lengths_N.max())) if len(lengths_N) else 1
        tokens_NL = self.tokens[codes_N, :longest].long()
        # An empty text is read as one token and set to zero: no reader has to know a text of nothing.
        mask_NL = torch.arange(longest, device=codes_N.device) < lengths_N.clamp(min=1)[:, None]
        return self.project(reader(tokens_NL, mask_NL)) * (lengths_N > 0)[:, None]

    def _versions(self) -> list[tuple[int, int]]:
        """Return what changes with every weight that the table depends on."""
        own, reader = self._require_bound()
        tensors = [own.weight, self.tokens, *self.parameters(), *reader.parameters()]
        return [(tensor.data_ptr(), tensor._version) for tensor in tensors]

    def _own_scale(self, codes_N: Tensor) -> Tensor:
        """Return 1 for an item with a vector of its own, else 0, [N, 1]."""
        is_own_N = (codes_N < self.own) & (codes_N != PADDING)
        if self.training and self.own_dropout:
            is_own_N = is_own_N & (torch.rand(len(codes_N), device=codes_N.device) >= self.own_dropout)
        return is_own_N[:, None].float()

    def _require_bound(self) -> tuple[nn.Embedding, nn.Module]:
        assert self._bound is not None, "part of a network"
        return self._bound
