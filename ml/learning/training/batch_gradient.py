"""Loss and gradient of a batch that is divided into parts.

Parts are computed one after the other, which saves memory, in several processes, or both. The same parts give the same
gradient wherever they are computed; for two parts bit for bit, as a sum of two numbers has one order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ml.learning.nn.batch_parts import exchanging
from ml.learning.training.batches import Division

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from ml.learning.nn.batch_parts import Exchange
    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.objectives.base import Objective
    from ml.learning.training.distributed import SingleProcess

#: Streams of random numbers of a step.
TRAINING: Final = 0
VALIDATION: Final = 1


class BatchGradient:
    """Computes the mean loss of batches, and its gradient.

    Each part draws random numbers of its own, which depend on `seed`, step and part alone. Batch normalization uses the
    statistics of a part; the running ones move by the mean over the parts. An undivided batch is computed as by a plain
    loop.
    """

    def __init__(
        self,
        objective: Objective,
        processes: SingleProcess,
        *,
        accumulate: int,
        seed: int,
        autocast: AbstractContextManager[Any],
    ) -> None:
        self.objective = objective
        self.processes = processes
        self.division = Division(processes.ranks, accumulate, processes.rank)
        self.seed = seed
        self.autocast = autocast
        #: Whether the objective exchanges values; not known before the first step.
        self._has_exchange: bool | None = None

    def backward(self, batches: Sequence[Tensors], *, step: int, scale: Callable[[Any], Any]) -> Tensor:
        """Add the gradient of a batch to that of the weights, and return its loss.

        Args:
            batches: The parts of the batch that this process computes.
            step: Number of the step, for random numbers.
            scale: Scales a loss before it is differentiated.
        """
        division = self.division
        if division.parts == 1:
            loss: Tensor = self._compute_loss(batches[0])
            scale(loss).backward()
            return loss.detach()
        statistics = _RunningStatistics(self.objective)
        exchanges = self._exchanges(batches, step, statistics)
        total = torch.zeros((), device=next(self.objective.parameters()).device)
        for part, batch, exchange in zip(division.own, batches, exchanges, strict=True):
            statistics.restore()
            self.reseed(step, part)
            with exchanging(exchange):
                loss = self._compute_loss(batch) / division.parts
            scale(loss).backward()
            total += loss.detach()
            statistics.collect()
        self.processes.add_gradients([weight for weight in self.objective.parameters() if weight.requires_grad])
        self.processes.add([total, *statistics.sums])
        statistics.set_means(division.parts)
        return total

    def reseed(self, step: int, part: int, *, stream: int = TRAINING) -> None:
        """Set torch's random state for a part; that of an undivided batch runs on."""
        if self.division.parts > 1:
            state = np.random.SeedSequence([self.seed, step, part, stream]).generate_state(1)
            torch.manual_seed(int(state[0]))

    def _compute_loss(self, batch: Tensors) -> Any:
        # Entered for each part: autocast caches what it casts, and with it the graph of the part.
        with self.autocast:
            return self.objective(batch)["loss"]

    def _exchanges(
        self, batches: Sequence[Tensors], step: int, statistics: _RunningStatistics
    ) -> Sequence[Exchange | None]:
        """Return the exchange of each part.

        Where parts are computed one after the other, a rehearsal collects what they exchange.
        """
        division = self.division
        if division.accumulate == 1:
            return [_DirectExchange(self.processes)]
        if self._has_exchange is False:
            return [None] * division.accumulate
        records = []
        for part, batch in zip(division.own, batches, strict=True):
            record = _Record(division.parts, part)
            statistics.restore()
            self.reseed(step, part)
            # Not without gradients, where some layers compute in another way.
            with exchanging(record):
                self._compute_loss(batch)
            records.append(record)
        calls = zip(*(record.values for record in records), strict=True)
        values = [torch.cat(self.processes.gather(torch.stack(call))).unbind() for call in calls]
        self._has_exchange = bool(values)
        return [_Replay(division.parts, part, values) for part in division.own]


class _DirectExchange:
    """Exchange between processes that compute one part each, at the same time."""

    def __init__(self, processes: SingleProcess) -> None:
        self.processes = processes
        self.parts, self.part = processes.ranks, processes.rank

    def __call__(self, value: Tensor) -> list[Tensor]:
        return self.processes.gather(value)


class _Record:
    """Records the values of a part, before those of the others are known."""

    def __init__(self, parts: int, part: int) -> None:
        self.parts, self.part = parts, part
        self.values: list[Tensor] = []

    def __call__(self, value: Tensor) -> list[Tensor]:
        self.values.append(value)
        return [value] * self.parts


class _Replay:
    """Returns the recorded values of all parts, call by call."""

    def __init__(self, parts: int, part: int, values: Sequence[Sequence[Tensor]]) -> None:
        self.parts, self.part = parts, part
        self._values = iter(values)

    def __call__(self, value: Tensor) -> list[Tensor]:
        return list(next(self._values))


class _RunningStatistics:
    """Running statistics of batch normalization while the parts of a batch are computed.

    Every part begins with those before the batch; in the end they are the means of what the parts made of them.
    """

    def __init__(self, objective: Objective) -> None:
        self._layers = [module for module in objective.modules() if isinstance(module, _BatchNorm)]
        self._before = [(buffer, buffer.clone()) for layer in self._layers for buffer in layer.buffers(recurse=False)]
        #: Sums over the parts so far; empty before the first.
        self.sums: list[Tensor] = []

    def restore(self) -> None:
        """Set the statistics to those before the batch."""
        for buffer, content in self._before:
            buffer.copy_(content)

    def collect(self) -> None:
        """Add the statistics that a part has left."""
        changed = self._changed_statistics()
        self.sums = self.sums or [torch.zeros_like(buffer) for buffer in changed]
        for total, buffer in zip(self.sums, changed, strict=True):
            total += buffer

    def set_means(self, parts: int) -> None:
        """Set the statistics to the means over all parts, whose sums `sums` has by now."""
        for total, buffer in zip(self.sums, self._changed_statistics(), strict=True):
            buffer.copy_(total / parts)

    def _changed_statistics(self) -> list[Tensor]:
        """Return means and variances that training changes; all parts count the same batches."""
        layers = [layer for layer in self._layers if layer.training and layer.track_running_stats]
        return [buffer for layer in layers for buffer in layer.buffers(recurse=False) if buffer.is_floating_point()]
