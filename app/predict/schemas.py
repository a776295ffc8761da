"""Schemas of `/predict`, the same for every task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.catalog.schemas import Task
from app.models.schemas import Engine, LatencyQuantiles
from ml.config import Config

MAX_INPUTS = 1024


class PredictRequest(Config):
    """Inputs in the form that the model's task reads; see its signature."""

    inputs: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_INPUTS)
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Fields of every input that does not set them itself."
    )


class Prediction(BaseModel):
    """One output for each input, in the same order."""

    model: str
    version: int
    task: Task | None
    outputs: list[dict[str, Any]]
    size: float | None = Field(
        None, description="The nested size that answered, as a fraction; only where the request has a budget."
    )


class Serving(BaseModel):
    """State and counters of a loaded model."""

    engine: Engine
    bytes: int = Field(description="Size of its files in memory; files that models share are in memory once.")
    waiting: int = Field(description="Inputs in the queue.")
    expected_wait_seconds: float
    batches: int
    inputs: int
    largest_batch: int
    refused: int = Field(description="Inputs that were refused with status 429.")
    dropped: int = Field(description="Inputs whose client disconnected or whose deadline passed before they were run.")
    latency_seconds: LatencyQuantiles = Field(
        description="All versions of this name since the process started; hits, loads and evictions likewise."
    )
    hits: int = Field(description="Requests for which the model was in memory.")
    loads: int
    evictions: int = Field(description="Times it was evicted to free memory.")


class ServedModel(BaseModel):
    """A model that can be used, with its inputs and outputs."""

    object: Literal["served_model"] = "served_model"
    model: str
    version: int
    task: Task | None
    aliases: dict[str, int]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: Any = None
    serving: Serving | None = Field(None, description="Null while it is not loaded; the first request loads it.")
