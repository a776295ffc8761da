"""Item history as input of `/predict`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from ml.wire.base import RawInput


def _to_id(value: Any) -> Any:
    """Convert a whole number to text; item ids are text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if isinstance(value, str) else value


#: Id of an item.
Item = Annotated[str, BeforeValidator(_to_id, json_schema_input_type=str | int), Field(min_length=1, max_length=200)]


class HistoryInput(RawInput):
    """Items of a user. Empty for a new user."""

    history: list[Item] = Field(max_length=100_000, description="Item ids, oldest first")

    def raw(self) -> list[str]:
        """Return the item ids."""
        return self.history

    @classmethod
    def make_example(cls) -> Self:
        """Three movies."""
        return cls(history=["1", "260", "480"])
