"""Training schedule: epochs, batch size, optimizer, learning-rate schedule, early stopping."""

from __future__ import annotations

import math
from typing import Final, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from ml.config import Config

#: Fewest rows of a batch whose mean and variance batch normalization can use.
MIN_BATCH_ROWS: Final = 8

#: Endings of the names of metrics that are better when higher; all others of training are better when lower.
HIGHER_IS_BETTER: Final = ("accuracy", "agreement", "explained")

Optimizer = TypeAliasType("Optimizer", Literal["sgd", "adam", "adamw", "muon"])
Decay = TypeAliasType("Decay", Literal["constant", "cosine", "one_cycle", "plateau"])
Precision = TypeAliasType("Precision", Literal["auto", "float32", "bfloat16", "float16"])


class EarlyStopping(Config):
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs; keep the best weights."""

    monitor: str = "validation/loss"
    patience: int = Field(5, ge=1, description="Epochs without improvement before training stops.")
    min_delta: float = Field(0.0, ge=0)
    restore_best: bool = True


class Schedule(Config):
    """Length and speed of training. `ml.spec.resolve` fills absent fields from recipes."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    min_steps: int | None = Field(
        None, ge=1, le=1_000_000, description="Steps of all epochs together; few rows are repeated in more epochs."
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Budget of steps: while validation still improves at the end of the epochs, twice as many follow, "
        "if they fit. A spec that names fewer steps than its epochs make ends at that step: then `min_steps` is equal.",
    )
    batch_size: int | None = Field(None, ge=1, le=65_536)
    min_batches_per_epoch: int | None = Field(
        None, ge=1, le=65_536, description="Batches of one epoch; few rows come in smaller batches."
    )
    accumulate: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Parts of a batch that each device computes one after the other, which takes less memory; they "
        "divide batch_size. Batch normalization sees one part at a time.",
    )
    optimizer: Optimizer | None = None
    learning_rate: float | None = Field(None, gt=0, le=100)
    momentum: float | None = Field(None, ge=0, lt=1)
    nesterov: bool | None = None
    weight_decay: float | None = Field(None, ge=0)
    decay: Decay | None = Field(
        None,
        description="Course of the learning rate. `plateau`: it is halved each time validation has not improved for "
        "two epochs.",
    )
    warmup_fraction: float | None = Field(None, ge=0, le=1, description="Fraction of all steps.")
    gradient_clip_norm: float | None = Field(None, gt=0)
    precision: Precision | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_every_seconds: float | None = Field(None, gt=0)

    def lower_batch_size(self, parts: int) -> Schedule:
        """Return this schedule with the next lower batch size that `parts` divides.

        Each part has at least one row.
        """
        size = self.batch_size
        lower = None if size is None else max(size - size % parts, parts)
        return self if lower == size else self.model_copy(update={"batch_size": lower})

    def batch_rows(self, rows: int, *, parts: int = 1) -> int:
        """Return the batch size for `rows` rows of data, a multiple of `parts`.

        Only a resolved schedule has all fields that this and `epoch_repeats` need.
        """
        size = min(self.batch_size or rows, rows)
        if self.min_batches_per_epoch:
            size = min(size, max(MIN_BATCH_ROWS, rows // self.min_batches_per_epoch))
        return max(size - size % parts, parts)

    def epoch_repeats(self, batches: int) -> int:
        """Return how many passes over the data count as one epoch.

        With `batches` batches a pass, all epochs together then make at least `min_steps` steps.
        """
        return max(1, math.ceil((self.min_steps or 0) / ((self.epochs or 1) * batches)))

    def fit_rows(self, rows: int, *, parts: int = 1) -> tuple[int, int]:
        """Return epochs and batch size for `rows` rows of data.

        Only a resolved schedule has all fields that this needs.
        """
        size = self.batch_rows(rows, parts=parts)
        batches = max(1, rows // size)
        epochs = (self.epochs or 1) * self.epoch_repeats(batches)
        return math.ceil(self.cap_steps(epochs * batches) / batches), size

    def cap_steps(self, steps: int) -> int:
        """Return the steps of the epochs, cut where `min_steps` and `max_steps` name the same number.

        A recipe's budget alone never cuts the epochs of many rows.
        """
        return min(steps, self.max_steps) if self.max_steps and self.max_steps == self.min_steps else steps

    def most_epochs(self, rows: int, *, parts: int = 1) -> int:
        """Return the epochs of all rounds that the budget allows while validation improves."""
        epochs, size = self.fit_rows(rows, parts=parts)
        batches, rounds = max(1, rows // size), 1
        while epochs * ((2 << rounds) - 1) * batches <= (self.max_steps or 0):
            rounds += 1
        return epochs * ((1 << rounds) - 1)

    def describe_small_data(self, rows: int, *, parts: int = 1, has_validation: bool = True) -> str | None:
        """Return what few rows change about epochs and batches; None if they change nothing.

        Only a resolved schedule has all fields that this needs.
        """
        default_epochs, default_size = self.epochs or 1, self.batch_size or rows
        epochs, size = self.fit_rows(rows, parts=parts)
        batches = max(1, rows // size)
        changes = []
        if (epochs, size) != (default_epochs, min(default_size, rows)):
            used = f"{epochs} epochs in batches of {size}"
            changes.append(f"{used}, not the usual {default_epochs} in batches of {default_size}")
        # A further round has twice the epochs.
        if has_validation and 3 * epochs * batches <= (self.max_steps or 0):
            changes.append(f"training continues while validation improves, within {self.max_steps:,} steps")
        return f"{rows} rows are few: {'; '.join(changes)}" if changes else None


def is_higher_better(metric: str) -> bool:
    """Return whether a metric of training or validation is better when higher."""
    return metric.endswith(HIGHER_IS_BETTER)
