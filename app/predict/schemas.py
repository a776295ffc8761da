"""What `/predict` is asked and what it answers, whatever the task."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class PredictRequest(BaseModel):
    """Inputs in the form the model's task reads; its signature tells which."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[dict[str, Any]] = Field(min_length=1, max_length=1024)
    parameters: dict[str, Any] = {}


class Prediction(BaseModel):
    """One output for each input, in the same order."""

    model: str
    version: int
    task: str | None
    outputs: list[dict[str, Any]]


class ServedModel(BaseModel):
    """A model that answers, and what it is asked."""

    object: Literal["served_model"] = "served_model"
    model: str
    version: int
    task: str | None
    aliases: dict[str, int]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    example: Any = None
