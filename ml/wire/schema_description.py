"""What a field takes, in words for whoever sent something else: read from its JSON schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def in_words(schema: Mapping[str, Any]) -> str:
    """`a number from 0.5 to 2`; of several that are taken, each."""
    branches = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if branches:
        return " or ".join(dict.fromkeys(in_words(each) for each in branches))
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if schema.get("contentEncoding") == "base64":
        return "a file as base64"
    kind = _KINDS.get(schema.get("type", "object"), "an object")
    return kind + _range(schema)


def _range(schema: Mapping[str, Any]) -> str:
    if "minLength" in schema or "maxLength" in schema:
        return _between(" of", schema.get("minLength"), schema.get("maxLength"), unit=" letters")
    if "minItems" in schema or "maxItems" in schema:
        return _between(" of", schema.get("minItems"), schema.get("maxItems"), unit=" items")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    within = _between("", schema.get("minimum"), schema.get("maximum"), unit="")
    return (
        within
        + ("" if above is None else f" above {_number(above)}")
        + ("" if below is None else f" below {_number(below)}")
    )


def _between(before: str, least: float | None, most: float | None, *, unit: str) -> str:
    if least is None and most is None:
        return ""
    if least is None:
        return f"{before} at most {_number(most)}{unit}"
    if most is None:
        return f"{before} at least {_number(least)}{unit}"
    return f"{before or ' from'} {_number(least)} to {_number(most)}{unit}"


def _number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
