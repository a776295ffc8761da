"""The base of every Pydantic model inside `ml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=65_536)]
"""How many channels, units or layers. More than any network has; a slip of the keyboard must not reach a worker."""


class Config(BaseModel):
    """Immutable; an unknown field is an error, so that a misspelt option is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)
