"""A history of items as it crosses the wire."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from ml.wire.base import RawInput


def _named(value: Any) -> Any:
    """Ids are text; who has numbers may send numbers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if isinstance(value, str) else value


Item = Annotated[str, BeforeValidator(_named, json_schema_input_type=str | int), Field(min_length=1, max_length=200)]
"""The id of an item."""


class HistoryInput(RawInput):
    """What somebody had. May be empty: nothing is known of a new user."""

    history: list[Item] = Field(max_length=100_000, description="Ids of items, the latest last")

    def raw(self) -> list[str]:
        """The ids."""
        return self.history

    @classmethod
    def drawn(cls) -> Self:
        """Three films."""
        return cls(history=["1", "260", "480"])
