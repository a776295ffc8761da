"""The base of every Pydantic model inside `ml`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Immutable; an unknown field is an error, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)
