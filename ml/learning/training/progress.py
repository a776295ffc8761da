"""Progress reports of a training run, and requests to stop it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Stop(StrEnum):
    """Request to end a run early."""

    #: Save a checkpoint after the current step and raise `TrainingInterrupted`.
    LEAVE = "leave"
    #: End training now, restore the best weights, evaluate and package.
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Position of a run; `metrics` holds only values that are new since the last report."""

    #: Current epoch, from 1; 0 before the first step.
    epoch: int
    epochs: int
    #: Finished steps of all epochs.
    step: int
    steps: int
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    #: Folder of a new checkpoint, complete and flushed to the disk.
    checkpoint: Path | None = None
    phase: str = "training"
    message: str | None = None
