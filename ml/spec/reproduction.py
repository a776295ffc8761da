"""Repetition of a training, to prove that it gives the same weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.config import Config


class Reproduce(Config):
    """Repetition of a training job that succeeded, and comparison of the weights."""

    kind: Literal["reproduce"]
    job: str = Field(pattern=r"^job_[0-9a-f]{32}$", description="Id of a job of the kind pretrain or finetune.")
