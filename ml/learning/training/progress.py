"""What a run tells while it works, and what it can be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Stop(StrEnum):
    """Why a run should end before its time."""

    LEAVE = "leave"
    """Save a checkpoint after the current step and raise `TrainingInterrupted`."""
    FINISH = "finish"
    """End training now, restore the best weights, evaluate and package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. `metrics` holds only what is new since the last one."""

    epoch: int
    """From 1; 0 before the first step."""
    epochs: int
    step: int
    """Steps done, over all epochs."""
    steps: int
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    """A finished, fsynced folder."""
    phase: str = "training"
    message: str | None = None
