"""What `/predict` is asked and what it answers, whatever the task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.schemas import Task
from app.models.schemas import Engine


class PredictRequest(BaseModel):
    """Inputs in the form the model's task reads; its signature tells which."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[dict[str, Any]] = Field(min_length=1, max_length=1024)
    parameters: dict[str, Any] = {}


class Prediction(BaseModel):
    """One output for each input, in the same order."""

    model: str
    version: int
    task: Task | None
    outputs: list[dict[str, Any]]


class LatencyQuantiles(BaseModel):
    """Seconds from a request's arrival to its answer, within which so many of a hundred came."""

    p50: float | None
    p90: float | None
    p99: float | None


class Serving(BaseModel):
    """How a loaded model does."""

    engine: Engine
    bytes: int
    """Of the files it keeps in memory; what it has in common with other models is there once."""
    waiting: int
    """Inputs in the queue."""
    expected_wait_seconds: float
    batches: int
    inputs: int
    largest_batch: int
    refused: int
    """Inputs that were answered 429."""
    dropped: int
    """Inputs whose client had left, or whose deadline was over."""
    latency_seconds: LatencyQuantiles
    """Of all versions of this name, like the next three, since the process began."""
    hits: int
    """Requests that found the model in memory."""
    loads: int
    evictions: int
    """Times that it left for want of memory."""


class ServedModel(BaseModel):
    """A model that answers, and what it is asked."""

    object: Literal["served_model"] = "served_model"
    model: str
    version: int
    task: Task | None
    aliases: dict[str, int]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: Any = None
    serving: Serving | None = None
    """None while it is not loaded: the first request loads it."""
