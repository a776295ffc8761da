"""Output embedding of language heads: their own, or the token embedding of their backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HasTokenEmbedding(Protocol):
    """Backbone with a token embedding."""

    def token_embedding(self) -> Tensor | None:
        """Return the embedding of the input tokens, [V, D]."""


class OutputEmbedding(nn.Module):
    """Base of heads whose logits are products of features with the embedding of each token."""

    own_table: nn.Embedding | None
    _slot: str
    _width: int
    _input_vocabulary: int
    _shared_embedding: Callable[[], Tensor | None]

    def init_output_embedding(self, vocabulary: int, *, slot: str, width: int, input_vocabulary: int) -> None:
        """Create an embedding of `vocabulary` output tokens.

        With 0 the output tokens are the input tokens, whose number is `input_vocabulary`; then `bind_backbones` shares
        the embedding of the backbone or creates one.
        """
        self._slot, self._width, self._input_vocabulary = slot, width, input_vocabulary
        self.own_table = _create_embedding(vocabulary, width) if vocabulary else None
        self._shared_embedding = lambda: None

    def bind_backbones(self, backbones: Mapping[str, HasTokenEmbedding]) -> None:
        """Share the token embedding of the backbone if tokens and widths are the same."""
        if self.own_table is not None:
            return
        get_embedding = backbones[self._slot].token_embedding
        embedding = get_embedding()
        if embedding is not None and embedding.shape[1] == self._width:
            self._shared_embedding = get_embedding
        else:
            self.own_table = _create_embedding(self._input_vocabulary, self._width)

    def output_embedding(self) -> Tensor:
        """Return the embedding of the output tokens, [V, D]."""
        embedding: Tensor | None = self.own_table.weight if self.own_table is not None else self._shared_embedding()
        assert embedding is not None, "a head that is part of a network"
        return embedding


def _create_embedding(vocabulary: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(vocabulary, width)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding
