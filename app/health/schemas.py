"""How the service is doing."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Part(BaseModel):
    """One thing this service stands on; `fix` says what to do when it is not ok."""

    ok: bool
    detail: str
    fix: str | None = None


class Readiness(BaseModel):
    """Whether the API can do its work: it needs database and blobs. Without broker and workers, jobs wait."""

    ready: bool
    database: Part
    blobs: Part
    broker: Part
    disk: Part
    workers: Part


class Worker(BaseModel):
    """A worker, as last heard of; `slots` is how many jobs it runs at once."""

    name: str
    slots: int
    started_at: datetime
    seen_at: datetime


class Device(BaseModel):
    """What training runs on, and why."""

    model_config = ConfigDict(extra="allow")

    device: str
    why: str


class LoadedModel(BaseModel):
    """A package in memory."""

    name: str
    version: int
    bytes: int


class System(BaseModel):
    """What runs here. `queue_length` is null while the broker does not answer, `device` where there is no torch."""

    object: Literal["system"] = "system"
    version: str
    python: str
    device: Device | None
    workers: list[Worker]
    jobs: dict[str, int]
    queue_length: int | None
    loaded_models: list[LoadedModel]
