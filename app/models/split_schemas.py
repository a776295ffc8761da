"""Requests and responses of split traffic."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.predict.schemas import LatencyQuantiles

Mode = Literal["canary", "shadow"]
Weight = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TrafficSplitSet(BaseModel):
    """A second version of an alias, and the fraction of requests it gets."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1, description="The candidate.")
    mode: Mode = Field(
        "canary", description="`canary` answers its requests; `shadow` gets copies, and its answers are only counted."
    )
    weight: Weight = Field(description="Fraction of the requests that the candidate gets.")


class SplitVersion(BaseModel):
    """Figures of one of the two versions since the split began."""

    version: int
    requests: int
    errors: int = Field(description="Requests that failed; invalid inputs do not count.")
    latency_seconds: LatencyQuantiles
    classes: dict[str, float] = Field(description="Fraction of each predicted class.")
    mean_confidence: float | None = Field(description="Null where outputs have no confidence.")


class TrafficSplit(BaseModel):
    """Traffic of an alias with figures of both versions, at most a second old."""

    object: Literal["traffic_split"] = "traffic_split"
    model: str
    alias: str
    mode: Mode
    weight: float
    current: SplitVersion = Field(description="The version of the alias.")
    candidate: SplitVersion
    agreement: float | None = Field(
        description="Fraction of mirrored inputs to which both gave the same label; null without any."
    )
    dropped: int = Field(description="Copies that were not run, as too many were running.")
    created_at: datetime
