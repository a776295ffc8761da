"""Base class of Pydantic models in `ml`, and named choices with options."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: Number of channels, units or layers. The limit is above that of any network; it keeps a typing error from a worker.
Count = Annotated[int, Field(ge=1, le=65_536)]


class Config(BaseModel):
    """Immutable model that rejects unknown fields, so that no misspelled option is ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(Config):
    """Name from a registry with its options. A bare string is short for `{"name": ...}`."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


def _expand(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Choice, BeforeValidator(_expand, json_schema_input_type=str | Choice)]
