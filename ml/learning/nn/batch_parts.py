"""Exchange between the parts of a batch, whose mean loss is that of the whole.

A batch is divided among processes, or to save memory. The parts have equal numbers of rows, so that a mean over rows
needs nothing from the others. Two kinds of loss do: a mean over entries of which parts have different numbers (tokens,
objects), and one that compares rows with each other. Where a batch is not divided, these functions change nothing.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class Exchange(Protocol):
    """Passes values between the parts of a batch, of which one is computed now.

    The number of calls must not depend on the rows, and no value may depend on what an earlier call returned.
    """

    #: Number of parts.
    parts: int
    #: Index of the part that is computed.
    part: int

    def __call__(self, value: Tensor) -> list[Tensor]:
        """Return the value of each part, in order and without gradients; all have one shape."""


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@contextlib.contextmanager
def exchanging(exchange: Exchange | None) -> Iterator[None]:
    """Exchange values by `exchange` inside of the context; with None, a part is alone."""
    token = _exchange.set(exchange)
    try:
        yield
    finally:
        _exchange.reset(token)


def divisor(count: Tensor, *, at_least: float = 1) -> Tensor:
    """Return what to divide a sum over `count` entries of a part by.

    It is the mean of the counts of all parts; of an undivided batch, the count. The count of the whole batch is raised
    to `at_least`.
    """
    exchange = _exchange.get()
    if exchange is None:
        return count.clamp(min=at_least)
    total = torch.stack(exchange(count.double())).sum()
    return (total.clamp(min=at_least) / exchange.parts).float()


def reweight(mean: Tensor, count: int) -> Tensor:
    """Return a mean over `count` entries, weighted by the part's fraction of all entries.

    The mean over the parts is then the mean over the entries of the batch.
    """
    if _exchange.get() is None:
        return mean
    return mean * (count / divisor(torch.tensor(count))).to(mean)


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all parts, [parts * B, ...], for comparisons with each other.

    Every part must compute the loss of all rows. Its gradient reaches the rows of this part alone, multiplied by the
    number of parts: the mean over the parts is that of the whole batch. So is the gradient of weights that the loss
    uses directly.
    """
    exchange = _exchange.get()
    if exchange is None:
        return rows
    own, parts = rows.view_as(rows), exchange.parts
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * parts)  # type: ignore[no-untyped-call]
    gathered = exchange(rows.detach())
    gathered[exchange.part] = own
    return torch.cat(gathered)
