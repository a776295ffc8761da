"""The rows of one split, kept in memory as compact arrays, given out a batch at a time.

What a batch holds depends on (seed, epoch, step) alone, so that an interrupted run goes on with the very batch that
came next. No workers: taking rows by index is faster than handing them between processes (see `benchmarks`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ml.encoders.base import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml.encoders.base import Column
    from ml.learning.nn.heads.base import Tensors
    from ml.signals import Arrays

    Columns = dict[str, Column]
    Augment = Callable[[Columns, np.random.Generator], Columns]


POOLED_BATCHES = 50
"""Rows of like length are looked for among so many batches' worth: enough to pad little, few enough to stay mixed."""


class BatchSource(Protocol):
    """What the trainer asks of its data; what is in a batch is between the data and the objective."""

    batch_size: int

    def __len__(self) -> int:
        """Batches in an epoch."""

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Tensors, int]]:
        """The batches of epoch `number` from the `start`-th on, and the rows in each."""


class ShuffledBatches:
    """For training: every epoch in an order of its own, augmented, without the rest that does not fill a batch.

    Rows of several lengths (text, sound) come in batches of like length, so that little of a batch is padding.
    """

    def __init__(
        self,
        columns: Columns,
        *,
        collate: Callable[[Columns], Arrays],
        augment: Augment | None = None,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.columns = columns
        self.collate = collate
        self.augment = augment
        self.seed = seed
        self.device = device
        self.rows = len(next(iter(columns.values())))
        self.batch_size = min(batch_size, self.rows)
        self.lengths = _lengths(columns)

    def __len__(self) -> int:
        """Full batches."""
        return self.rows // self.batch_size

    def epoch(self, number: int, *, start: int = 0) -> Iterator[tuple[Tensors, int]]:
        """Batches in the order that seed and epoch make."""
        order = self._order(number)
        for step in range(start, len(self)):
            batch = take(self.columns, order[step * self.batch_size : (step + 1) * self.batch_size])
            if self.augment is not None:
                chance = np.random.Philox(key=self.seed, counter=[0, 0, number, step])
                batch = self.augment(batch, np.random.Generator(chance))
            yield to_device(self.collate(batch), self.device), self.batch_size

    def _order(self, number: int) -> np.ndarray:
        """Rows as they come in epoch `number`; of one length, in any order; of several, alike within a batch."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(self.rows)
        if self.lengths is None:
            return order
        order = order[: len(self) * self.batch_size]
        pool = POOLED_BATCHES * self.batch_size
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            order[start : start + pool] = rows[np.argsort(self.lengths[rows], kind="stable")]
        batches = order.reshape(len(self), self.batch_size)
        return np.asarray(batches[generator.permutation(len(self))].ravel())


class SequentialBatches:
    """For judging: every row once, as it is."""

    def __init__(
        self, columns: Columns, *, collate: Callable[[Columns], Arrays], batch_size: int, device: torch.device
    ) -> None:
        self.columns = columns
        self.collate = collate
        self.batch_size = batch_size
        self.device = device
        self.rows = len(next(iter(columns.values())))

    def __len__(self) -> int:
        """Batches, the last perhaps smaller."""
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int = 0, *, start: int = 0) -> Iterator[tuple[Tensors, int]]:
        """Batches in the order of the rows."""
        for step in range(start, len(self)):
            batch = {
                name: column[step * self.batch_size : (step + 1) * self.batch_size]
                for name, column in self.columns.items()
            }
            yield to_device(self.collate(batch), self.device), len(next(iter(batch.values())))


def _lengths(columns: Columns) -> np.ndarray | None:
    """How long each row is, over all of its columns of several lengths; None where there are none."""
    ragged = [
        column
        for column in columns.values()
        if isinstance(column, list) and column and isinstance(column[0], np.ndarray)
    ]
    return np.sum([[len(row) for row in column] for column in ragged], axis=0) if ragged else None


def to_arrays(tensors: Tensors) -> Arrays:
    """In main memory; what was computed in half precision as float32."""
    return {name: (each.float() if each.is_floating_point() else each).cpu().numpy() for name, each in tensors.items()}


def to_device(arrays: Arrays, device: torch.device) -> Tensors:
    """The same memory on a CPU, a copy on a GPU."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cpu":
        return tensors
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
