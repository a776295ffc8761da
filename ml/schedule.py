"""How long training takes, and how fast it goes: what a user asks for, and what recipes say of themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.config import Config


class EarlyStopping(Config):
    """End when `monitor` has not improved by `min_delta` for `patience` epochs; keep the best weights."""

    monitor: str = "validation/loss"
    patience: int = Field(5, ge=1)
    min_delta: float = Field(0.0, ge=0)
    restore_best: bool = True


class Schedule(Config):
    """How long and how fast. What is absent is filled from recipes by `ml.spec.resolve`."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    batch_size: int | None = Field(None, ge=1, le=65_536)
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
