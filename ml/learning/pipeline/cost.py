"""Measurement of a training's cost: a few real steps, and a checkpoint."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import torch

from ml.data.dataset import Dataset
from ml.errors import TrainingInterrupted
from ml.learning.nn import device as devices
from ml.learning.pipeline.train import train_trial
from ml.learning.training import checkpoint
from ml.learning.training.optimizers import require_resolved
from ml.learning.training.progress import Stop
from ml.learning.training.run_folder import RunFolder
from ml.spec.cost import TrainingCost, find_waste

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.spec.schema import Spec

#: Rows that are encoded: enough for the steps that are measured.
MAX_ROWS: Final = 4000
MAX_STEPS: Final = 20
MAX_SECONDS: Final = 5.0
MIN_STEPS: Final = 3


@dataclass(slots=True)
class _Stopwatch:
    """Requests the end of a training after some steps, whose times it records."""

    steps: int
    times: list[float] = field(default_factory=list)

    def __call__(self) -> Stop | None:
        self.times.append(time.perf_counter())
        is_long = self.times[-1] - self.times[0] > MAX_SECONDS and len(self.times) >= MIN_STEPS
        return Stop.LEAVE if len(self.times) >= self.steps or is_long else None


def measure_cost(
    spec: Spec,
    dataset: Path,
    workdir: Path,
    *,
    start_from: Path | Mapping[str, Path] | None = None,
    models: Mapping[str, Path] | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> TrainingCost:
    """Train some steps of a resolved spec, and return what all of them will take.

    Raises what `train` raises.
    """
    rows = _count_training_rows(Dataset.open(dataset))
    schedule = spec.schedule
    batch_size = schedule.batch_rows(rows, parts=spec.parts)
    batches = max(1, rows // batch_size)
    epochs = require_resolved(schedule.epochs)
    steps = schedule.cap_steps(epochs * schedule.epoch_repeats(batches) * batches)
    memory_before = _memory_bytes()
    begin = time.perf_counter()
    # No more than one epoch: validation comes after it.
    stopwatch = _Stopwatch(min(MAX_STEPS, batches, max(1, min(rows, MAX_ROWS) // batch_size)))
    with contextlib.suppress(TrainingInterrupted):
        train_trial(
            spec,
            dataset,
            workdir,
            start_from=start_from,
            models=models,
            device=device,
            threads=threads,
            on_progress=lambda _: None,
            should_stop=stopwatch,
            max_rows=max(MAX_ROWS, batch_size),
        )
    processes = len(devices.choose_several(device, spec.devices or 1))
    times = stopwatch.times
    intervals = [after - before for before, after in itertools.pairwise(times)] or [times[0] - begin]
    newest = max(RunFolder(workdir).own_checkpoints.iterdir())
    tensors = checkpoint.load(newest).tensors_under("objective")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Every process has its own rows and weights.
    peak, memory_before = peak * processes, memory_before * processes
    available = _available_bytes() + peak
    bytes_per_row = max(1.0, (peak - memory_before) / batch_size)
    size = sum(path.stat().st_size for path in newest.iterdir())
    cost = TrainingCost(
        rows=rows,
        weights=sum(tensor.numel() for tensor in tensors.values()),
        batch_size=batch_size,
        steps=steps,
        measured_steps=len(times),
        seconds_per_step=median(intervals),
        training_seconds=median(intervals) * steps,
        memory_bytes=peak,
        available_memory_bytes=available,
        largest_batch_size=max(1, min(rows, int((available - memory_before) / bytes_per_row))),
        checkpoint_bytes=size,
        disk_bytes=checkpoint.MAX_CHECKPOINTS * size,
        device=devices.choose(device).name,
        devices=processes,
        threads=torch.get_num_threads(),
    )
    return cost.model_copy(update={"warnings": list(find_waste(cost, spec))})


def _count_training_rows(data: Dataset) -> int:
    rows = len(data.rows("train"))
    return rows if len(data.rows("validation")) or rows < 2 else rows - max(1, round(0.1 * rows))


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
