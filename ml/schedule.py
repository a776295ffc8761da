"""How long training takes, and how fast it goes: what a user asks for, and what recipes say of themselves."""

from __future__ import annotations

import math
from typing import Final, Literal

from pydantic import Field

from ml.config import Config

LEAST_BATCH: Final = 8
"""Rows of which a batch can still tell mean and spread, as batch normalisation asks of it."""


class EarlyStopping(Config):
    """End when `monitor` has not improved by `min_delta` for `patience` epochs; keep the best weights."""

    monitor: str = "validation/loss"
    patience: int = Field(5, ge=1)
    min_delta: float = Field(0.0, ge=0)
    restore_best: bool = True


class Schedule(Config):
    """How long and how fast. What is absent is filled from recipes by `ml.spec.resolve`."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    least_steps: int | None = Field(None, ge=1, le=1_000_000)
    """Of all epochs; where few rows make fewer, epochs become more."""
    batch_size: int | None = Field(None, ge=1, le=65_536)
    least_batches: int | None = Field(None, ge=1, le=65_536)
    """In an epoch; where few rows make fewer, batches become smaller."""
    optimizer: Literal["sgd", "adam", "adamw"] | None = None
    learning_rate: float | None = Field(None, gt=0, le=100)
    momentum: float | None = Field(None, ge=0, lt=1)
    nesterov: bool | None = None
    weight_decay: float | None = Field(None, ge=0)
    decay: Literal["constant", "cosine", "one_cycle"] | None = None
    warmup_fraction: float | None = Field(None, ge=0, le=1)
    """Share of all steps."""
    gradient_clip_norm: float | None = Field(None, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_every_seconds: float | None = Field(None, gt=0)

    def batch_of(self, rows: int) -> int:
        """How many of so many rows make a batch. Of a resolved schedule, like `times`."""
        size = min(self.batch_size or rows, rows)
        return min(size, max(LEAST_BATCH, rows // self.least_batches)) if self.least_batches else size

    def times(self, batches: int) -> int:
        """How many epochs of so many batches stand for one, so that all together make `least_steps`."""
        return max(1, math.ceil((self.least_steps or 0) / ((self.epochs or 1) * batches)))
