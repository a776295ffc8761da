"""Predictions for the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.huggingface.pipelines.base import INPUTS, Pipeline, PipelineRequest, check_members, invalid
from app.predict.schemas import MAX_INPUTS
from ml.data.cell_values import to_value
from ml.errors import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TABLE: Final = "table"
#: Where the clients put the table.
_HINT: Final = 'Send {"table": {"length": [5.1, 2.0]}}.'


class TableColumn(Pipeline):
    """One field of the output for each row of a table, which comes by column."""

    def __init__(self, field: str) -> None:
        """`field` is the field of the output."""
        self._field = field

    def to_inputs(self, request: PipelineRequest) -> Sequence[Any]:
        """Return an input for each row."""
        check_members(request, [TABLE])
        # The JavaScript client puts the table in `inputs` or in `inputs.data`.
        table = request.members.get(TABLE) or request.inputs
        if isinstance(table, dict) and isinstance(table.get("data"), dict):
            table = table["data"]
        lengths = (
            {len(column) if isinstance(column, list) else -1 for column in table.values()}
            if table and isinstance(table, dict)
            else set()
        )
        if len(lengths) != 1 or -1 in lengths:
            raise invalid("must have a list for each column, all of one length", path=TABLE, hint=_HINT)
        if not 1 <= max(lengths) <= MAX_INPUTS:
            raise invalid(f"has {max(lengths):,} rows", path=TABLE, hint=f"Send 1 to {MAX_INPUTS:,} at a time.")
        rows = zip(*table.values(), strict=True)
        return [dict(zip(table, map(_to_cell, row), strict=True)) for row in rows]

    def to_answer(self, outputs: Sequence[Mapping[str, Any]], request: PipelineRequest) -> Any:
        """Return a list with a value for each row."""
        return [output[self._field] for output in outputs]

    def path_of(self, request: PipelineRequest, index: int, path: str) -> str:
        """Return the place in the table: the column, and the row."""
        name = path.partition(".")[0]
        return path if name == PARAMETERS else f"{TABLE}.{path}.{index}" if path else INPUTS


def _to_cell(value: Any) -> Any:
    """Return a number for a text that is one; clients may send both."""
    return to_value(value) if isinstance(value, str) else value
