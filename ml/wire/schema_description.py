"""Describe a JSON schema in words, for error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOUNS: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def describe_field(name: str, field: Mapping[str, Any]) -> str:
    """Describe what a field takes, with its description in the schema."""
    description = field.get("description", "").rstrip(".")
    return f"{name} takes {describe_schema(field)}." + (f" {description}." if description else "")


def describe_schema(schema: Mapping[str, Any]) -> str:
    """Describe the allowed values: `a number from 0.5 to 2`; alternatives are joined by "or"."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    if branches:
        return " or ".join(dict.fromkeys(describe_schema(branch) for branch in branches))
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if schema.get("contentEncoding") == "base64":
        return "a file as base64"
    noun = _NOUNS.get(schema.get("type", "object"), "an object")
    return noun + _describe_range(schema)


def _describe_range(schema: Mapping[str, Any]) -> str:
    if "minLength" in schema or "maxLength" in schema:
        return _between(" of", schema.get("minLength"), schema.get("maxLength"), unit=" characters")
    if "minItems" in schema or "maxItems" in schema:
        return _between(" of", schema.get("minItems"), schema.get("maxItems"), unit=" items")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    within = _between("", schema.get("minimum"), schema.get("maximum"), unit="")
    return (
        within
        + ("" if above is None else f" above {_number(above)}")
        + ("" if below is None else f" below {_number(below)}")
    )


def _between(prefix: str, low: float | None, high: float | None, *, unit: str) -> str:
    if low is None and high is None:
        return ""
    if low is None:
        return f"{prefix} at most {_number(high)}{unit}"
    if high is None:
        return f"{prefix} at least {_number(low)}{unit}"
    return f"{prefix or ' from'} {_number(low)} to {_number(high)}{unit}"


def _number(value: float | None) -> str:
    return f"{value:g}" if value is None or value % 1 else f"{int(value):,}"
