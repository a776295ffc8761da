"""Cost of a training, measured, and what is wasteful about it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field

from ml.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.spec.schema import Finetune, Pretrain

DAY_SECONDS: Final = 86_400
#: Epochs after which training without early stopping is likely to repeat itself.
MANY_EPOCHS: Final = 100
#: Weights for each training row that a network from scratch cannot learn.
MANY_WEIGHTS_PER_ROW: Final = 20_000


class TrainingCost(Config):
    """Time, memory and disk of a training on this machine, from a few real steps."""

    rows: int = Field(description="Training rows.")
    weights: int = Field(description="Weights and statistics of the network.")
    batch_size: int
    steps: int = Field(description="Steps of the schedule, unless it ends early or continues while it improves.")
    measured_steps: int
    seconds_per_step: float = Field(description="Median, without the first.")
    training_seconds: float = Field(description="All steps, without validation, evaluation and export.")
    memory_bytes: int = Field(description="Largest memory of the process during the measured steps.")
    available_memory_bytes: int
    largest_batch_size: int = Field(description="Estimate of the largest batch that fits into the memory.")
    checkpoint_bytes: int
    disk_bytes: int = Field(description="Checkpoints that are kept at a time.")
    device: str
    devices: int = Field(1, description="Processes that train together; the memory is that of all.")
    threads: int
    ends_at: datetime | None = Field(
        None, description="When all steps would be done if the training started with this response."
    )
    warnings: list[str] = Field(default_factory=list)

    def starting(self, moment: datetime) -> Self:
        """Return the cost of a training that starts at a moment."""
        return self.model_copy(update={"ends_at": moment + timedelta(seconds=self.training_seconds)})


def find_waste(cost: TrainingCost, spec: Pretrain | Finetune) -> Iterator[str]:
    """Yield what is clearly wasteful about a training, with what to change."""
    schedule = spec.schedule
    if cost.training_seconds > DAY_SECONDS:
        days = cost.training_seconds / DAY_SECONDS
        yield f"the training takes {days:.1f} days: lower schedule.epochs, or choose a smaller preset"
    if (schedule.epochs or 0) >= MANY_EPOCHS and schedule.early_stopping is None:
        yield f"{schedule.epochs} epochs without early stopping: set schedule.early_stopping, to end after the best"
    if spec.start_from is None and cost.weights > MANY_WEIGHTS_PER_ROW * cost.rows:
        yield (
            f"{cost.weights:,} weights learn from {cost.rows:,} rows: name a base model in start_from, or choose a "
            "smaller preset"
        )
    if cost.memory_bytes > cost.available_memory_bytes:
        yield (
            f"it needs {cost.memory_bytes / 1e9:.1f} GB of memory, and {cost.available_memory_bytes / 1e9:.1f} GB are "
            f"free: lower schedule.batch_size to {cost.largest_batch_size}, or set schedule.accumulate"
        )
    if cost.batch_size == 1 and cost.rows > 1 and cost.largest_batch_size > 1:
        yield "batches of one row use a processor badly: raise schedule.batch_size"
