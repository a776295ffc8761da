"""The table that tokens are written with: one of a head's own, or the one that its backbone reads with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HasTokenTable(Protocol):
    """A backbone, as far as is asked of it here."""

    def table(self) -> Tensor | None:
        """What it reads tokens with, [V, D]."""


class OutputEmbedding(nn.Module):
    """For heads whose scores are the likeness of what was read to each token's entry of a table."""

    own_table: nn.Embedding | None
    _slot: str
    _width: int
    _read: int
    _shared: Callable[[], Tensor | None]

    def write_with(self, vocabulary: int, *, slot: str, width: int, read: int) -> None:
        """Told once, when a head is built: so many tokens of its own are written, or where that is 0 those `read`."""
        self._slot, self._width, self._read = slot, width, read
        self.own_table = _table(vocabulary, width) if vocabulary else None
        self._shared = lambda: None

    def share(self, backbones: Mapping[str, HasTokenTable]) -> None:
        """Write with the table that is read with, where the tokens are the same and the widths agree."""
        if self.own_table is not None:
            return
        ask = backbones[self._slot].table
        table = ask()
        if table is not None and table.shape[1] == self._width:
            self._shared = ask
        else:
            self.own_table = _table(self._read, self._width)

    def table(self) -> Tensor:
        """[V, D]."""
        table: Tensor | None = self.own_table.weight if self.own_table is not None else self._shared()
        assert table is not None, "a head that is part of a network"
        return table


def _table(vocabulary: int, width: int) -> nn.Embedding:
    table = nn.Embedding(vocabulary, width)
    nn.init.normal_(table.weight, std=width**-0.5)
    return table
