"""Values by column as input of `/predict`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Self

from pydantic import ConfigDict

from ml.data.cell_values import CellValue, ColumnKind, to_date, to_number
from ml.errors import MAX_SHOWN_CHARACTERS, Finding, InputError, shorten, unknown
from ml.wire.base import MAX_FAULTS, RawInput
from ml.wire.schema_description import describe_schema

#: Characters of one text.
MAX_CHARACTERS: Final = 10_000
_EXAMPLE: Final[Mapping[str, CellValue]] = {"length": 5.1, "width": 3.5, "site": "north"}
_TEXT: Final = {"type": "string", "maxLength": MAX_CHARACTERS}
_DATE_EXAMPLES: Final[Mapping[str, str]] = {
    "date": "2026-11-28",
    "date_day_first": "28/11/2026",
    "date_month_first": "11/28/2026",
    "date_dots": "28.11.2026",
}


class RecordInput(RawInput):
    """The measurements of a row: a field for each column of the training data.

    A missing value is null or left out. The schema of a model lists its columns.
    """

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={"additionalProperties": {"type": ["number", "string", "boolean", "null"]}},
    )

    @classmethod
    def of(cls, value: Any, *, parameters: Mapping[str, Any]) -> Self:
        """Parse an object with any fields; raises `InputError` for values that no column has."""
        if isinstance(value, cls):
            return value
        fields = _read_object(value, {}, parameters=parameters)
        return cls.model_validate(read_record(fields, dict.fromkeys(fields, "category"), parameters={}))

    def raw(self) -> dict[str, CellValue]:
        """Return the values by column."""
        return dict(self.model_extra or {})

    @classmethod
    def make_example(cls) -> Self:
        """Two lengths and a category."""
        return cls.model_validate(_EXAMPLE)


def record_schema(kinds: Mapping[str, ColumnKind], omitted: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON schema of a record with these columns; its description names `omitted` ones."""
    properties = {name: {**_field_schema(kind), "title": name} for name, kind in kinds.items()}
    description = "The measurements of a row. A missing value is null or left out; one value is required."
    if omitted:
        description += f" Columns of the training data that are not read may be sent, too: {_list_names(omitted)}."
    return {
        "title": "RecordInput",
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
    }


def read_record(
    raw_input: Any,
    kinds: Mapping[str, ColumnKind],
    *,
    parameters: Mapping[str, Any],
    omitted: Collection[str] = (),
) -> dict[str, CellValue]:
    """Return the values of an input by column.

    Raises `InputError` for unknown fields and wrong values.

    The row of a dataset (`RecordInput`) is not checked, and columns that the model does not read are left out. Those of
    an input are left out if they are in `omitted`: columns of the training data, such as one with a single value.
    """
    if isinstance(raw_input, RecordInput):
        return {name: value for name, value in raw_input.raw().items() if name in kinds}
    fields = _read_object(raw_input, kinds, parameters=parameters)
    if omitted and not fields.keys().isdisjoint(omitted):
        fields = {name: value for name, value in fields.items() if name not in omitted}
        if not fields:
            names = _list_names(kinds)
            raise InputError(f"an input has at least one field of {names}; the model reads no other", hint="Send one.")
    findings = list(islice(_find_faults(fields, kinds), MAX_FAULTS))
    if findings:
        raise InputError.of(findings)
    return fields


def _read_object(raw_input: Any, kinds: Mapping[str, ColumnKind], *, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an input; raises `InputError` if there are none."""
    names = _list_names(kinds) or "the columns of the training data"
    if isinstance(raw_input, bytes):
        raise InputError("this model reads JSON", hint='Send {"inputs": [{...}]} as application/json.')
    if not isinstance(raw_input, Mapping):
        raise InputError("an input is a JSON object", hint=f"Its fields: {names}.")
    fields = {**parameters, **raw_input}
    if not fields:
        raise InputError(f"an input has at least one field of {names}", hint=f"Its fields: {names}.")
    return fields


def _find_faults(fields: Mapping[str, Any], kinds: Mapping[str, ColumnKind]) -> Iterator[Finding]:
    for name, value in fields.items():
        if name not in kinds:
            path = name if len(name) <= MAX_SHOWN_CHARACTERS else f"{name[: MAX_SHOWN_CHARACTERS - 1]}…"
            yield unknown("field", name, kinds, path=path, default_hint="Leave it out.")
        elif value is not None and not _is_value(value, kinds[name]):
            expected = describe_schema(_field_schema(kinds[name]))
            yield Finding(
                code="invalid_value",
                message=f"is no value of {shorten(name)}: {shorten(value)}",
                path=name,
                found=shorten(value),
                expected=expected,
                hint=f"{name[:MAX_SHOWN_CHARACTERS]} takes {expected}, or null.",
            )


def _is_value(value: Any, kind: ColumnKind) -> bool:
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        return False
    if kind == "category":
        return isinstance(value, bool | int | float | str)
    if kind in _DATE_EXAMPLES:
        return to_date(value, kind) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return kind == "decimal_comma" and to_number(value, kind) is not None
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _field_schema(kind: ColumnKind) -> dict[str, Any]:
    number, null = {"type": "number"}, {"type": "null"}
    if kind == "category":
        return {"anyOf": [_TEXT, number, {"type": "boolean"}, null], "description": "A category."}
    if kind in _DATE_EXAMPLES:
        return {"anyOf": [_TEXT, null], "description": f"A date such as {_DATE_EXAMPLES[kind]}."}
    if kind == "decimal_comma":
        return {"anyOf": [number, _TEXT, null], "description": "A number; as text with a decimal comma."}
    return {"anyOf": [number, null], "description": "A number."}


def _list_names(kinds: Collection[str]) -> str:
    names = ", ".join(name[:MAX_SHOWN_CHARACTERS] for name in islice(kinds, MAX_FAULTS * 2))
    return names + (", ..." if len(kinds) > MAX_FAULTS * 2 else "")
