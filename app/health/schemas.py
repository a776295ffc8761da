"""Schemas of the state of the service."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Alive(BaseModel):
    """Sent while the process runs."""

    status: str = "ok"


class Part(BaseModel):
    """State of one part of the service."""

    ok: bool
    detail: str
    fix: str | None = Field(None, description="What to do if the part is not ok.")


class Readiness(BaseModel):
    """State of all parts of the service.

    The API needs database and blobs. Without broker or workers, jobs wait.
    """

    ready: bool = Field(description="Whether the API can handle requests.")
    database: Part
    blobs: Part
    broker: Part
    disk: Part
    workers: Part


class Worker(BaseModel):
    """A running worker."""

    name: str
    slots: int = Field(description="Number of jobs that it runs at the same time.")
    devices: int | None = Field(None, description="Number of GPUs, or of cores, that one training may use.")
    started_at: datetime
    seen_at: datetime = Field(description="Time of its last heartbeat.")


class Device(BaseModel):
    """Device that training uses."""

    model_config = ConfigDict(extra="allow")

    device: str
    why: str = Field(description="Reason for the choice.")


class LoadedModel(BaseModel):
    """A model in memory."""

    name: str
    version: int
    bytes: int


class System(BaseModel):
    """Versions, workers, jobs and models of this installation."""

    object: Literal["system"] = "system"
    version: str
    python: str
    device: Device | None = Field(description="Null if PyTorch is not installed, and with `device=false`.")
    workers: list[Worker]
    jobs: dict[str, int] = Field(description="Number of jobs by state, without validations.")
    queue_length: int | None = Field(description="Null while the broker is unavailable.")
    loaded_models: list[LoadedModel]
