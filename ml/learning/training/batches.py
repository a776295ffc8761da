"""Batches of one split, whose rows are compact arrays in memory or in mapped files.

The content of a batch depends on (seed, epoch, step) alone, so that an interrupted run resumes with the batch that was
next. There are no worker processes: selecting rows by index is faster than sending them between processes (see
`benchmarks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch

from ml.encoders.base import take
from ml.preprocessing.ragged_array import RaggedArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml.encoders.base import Column
    from ml.learning.nn.heads.base import Tensors
    from ml.signals import Arrays

    Columns = dict[str, Column]
    Augment = Callable[[Columns, np.random.Generator], Columns]


#: Batches whose rows are sorted by length together: enough for little padding, few enough to keep batches mixed.
POOL_BATCHES: Final = 50


@dataclass(frozen=True, slots=True)
class Division:
    """Division of batches into equal parts: `accumulate` in each of `ranks` processes."""

    ranks: int = 1
    accumulate: int = 1
    #: Which of the processes this one is.
    rank: int = 0

    @property
    def parts(self) -> int:
        """Number of parts of a batch."""
        return self.ranks * self.accumulate

    @property
    def own(self) -> range:
        """The parts that this process computes."""
        return range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate)


#: Batches that are not divided.
WHOLE: Final = Division()


class BatchSource(Protocol):
    """Batches as the trainer reads them; only data and objective know what a batch contains."""

    batch_size: int

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self, number: int, *, start: int = 0, stride: int = 1) -> Iterator[tuple[Tensors, int]]:
        """Yield every `stride`-th batch of an epoch from the `start`-th on, with their row counts.

        A batch that is divided among processes comes as the parts of this one, in order.
        """


class ShuffledBatches:
    """Batches for training: shuffled anew in each epoch, augmented, without a last partial batch.

    Rows of different lengths (text, audio) come in batches of similar length, so that little of a batch is padding.
    Every part of a divided batch is augmented by a random state of its own. A size that does not divide is lowered.
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
        division: Division = WHOLE,
    ) -> None:
        self.columns = columns
        self.collate = collate
        self.augment = augment
        self.division = division
        self.seed = seed
        self.device = device
        self.rows = len(next(iter(columns.values())))
        size = min(batch_size, self.rows)
        self.batch_size = size - size % division.parts
        self.lengths = _row_lengths(columns)

    def __len__(self) -> int:
        """Number of full batches in an epoch."""
        return self.rows // self.batch_size

    def epoch(self, number: int, *, start: int = 0, stride: int = 1) -> Iterator[tuple[Tensors, int]]:
        """Yield every `stride`-th batch of an epoch from the `start`-th on, with their row counts."""
        order, division = self._order(number), self.division
        for step in range(start, len(self), stride):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            for part in division.own:
                # Every n-th row: where rows are sorted by length, the parts take equally long.
                batch = take(self.columns, rows[part :: division.parts])
                if self.augment is not None:
                    bits = np.random.Philox(key=self.seed, counter=[0, part, number, step])
                    batch = self.augment(batch, np.random.Generator(bits))
                yield to_device(self.collate(batch), self.device), self.batch_size // division.parts

    def _order(self, number: int) -> np.ndarray:
        """Return the order of the rows in an epoch.

        It is a random one, or if rows have lengths, one in which the rows of a batch are of similar length.
        """
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(self.rows)
        if self.lengths is None:
            return order
        order = order[: len(self) * self.batch_size]
        pool = POOL_BATCHES * self.batch_size
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            order[start : start + pool] = rows[np.argsort(self.lengths[rows], kind="stable")]
        batches = order.reshape(len(self), self.batch_size)
        return np.asarray(batches[generator.permutation(len(self))].ravel())


class SequentialBatches:
    """Batches for evaluation: each row once, in order and not augmented."""

    def __init__(
        self, columns: Columns, *, collate: Callable[[Columns], Arrays], batch_size: int, device: torch.device
    ) -> None:
        self.columns = columns
        self.collate = collate
        self.batch_size = batch_size
        self.device = device
        self.rows = len(next(iter(columns.values())))

    def __len__(self) -> int:
        """Number of batches; the last may be smaller."""
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int = 0, *, start: int = 0, stride: int = 1) -> Iterator[tuple[Tensors, int]]:
        """Yield every `stride`-th batch from the `start`-th on, with row counts.

        All epochs are equal.
        """
        for step in range(start, len(self), stride):
            batch = {
                name: column[step * self.batch_size : (step + 1) * self.batch_size]
                for name, column in self.columns.items()
            }
            yield to_device(self.collate(batch), self.device), len(next(iter(batch.values())))


def _row_lengths(columns: Columns) -> np.ndarray | None:
    """Return the length of each row over all ragged columns; None without any."""
    lengths = [
        column.lengths if isinstance(column, RaggedArray) else np.array([len(row) for row in column])
        for column in columns.values()
        if not isinstance(column, np.ndarray) and len(column) and isinstance(column[0], np.ndarray)
    ]
    return np.sum(lengths, axis=0) if lengths else None


def to_arrays(tensors: Tensors) -> Arrays:
    """Copy tensors to main memory as arrays; floating-point values become float32."""
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
        for name, tensor in tensors.items()
    }


def to_device(arrays: Arrays, device: torch.device) -> Tensors:
    """Return arrays as tensors on a device; on a CPU they share memory."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cpu":
        return tensors
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
