"""Invalid inputs: for each field, values of all kinds and just beyond its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

JSON = Mapping[str, Any]
NESTED: Final = 100


def _nest(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


ANYTHING: Final[JSON] = {
    "null": None,
    "true": True,
    "a whole number": 7,
    "a negative number": -1,
    "a fraction": 0.5,
    "a huge number": 1e300,
    "a number of 70 bits": 2**70,
    "an empty text": "",
    "blanks": " \t\n",
    "a word": "x",
    "a number as text": "7",
    "a long text": "x " * 500_001,
    "an empty list": [],
    "a list of null": [None],
    "a list of an empty text": [""],
    "a list of lists": [[["x"]]],
    "a list of anything": ["x", 7, None, {}],
    "a long list": ["x"] * 2_000,
    "a long list of objects": [{}] * 2_000,
    "an empty object": {},
    "an object of objects": {"a": {"b": [1]}},
    "deep lists": _nest(NESTED),
}


def values(schema: JSON, field: str) -> Iterator[tuple[str, Any]]:
    """Return the description and the value; `schema` is that of the whole input."""
    yield from ANYTHING.items()
    for branch in _branches(schema["properties"][field]):
        step = 1 if branch.get("type") == "integer" else 0.001
        if "minimum" in branch:
            yield "too small", branch["minimum"] - step
        if "maximum" in branch:
            yield "too large", branch["maximum"] + step
        for name in ("exclusiveMinimum", "exclusiveMaximum"):
            if name in branch:
                yield "at the limit", branch[name]
        if "maxLength" in branch:
            yield "too long", "e" * (branch["maxLength"] + 1)
        if "maxItems" in branch:
            yield "too many", ["e"] * (branch["maxItems"] + 1)
        if "maxLength" in branch.get("items", {}):
            yield "an item that is too long", ["e" * (branch["items"]["maxLength"] + 1)]


def heavy(field: JSON) -> Any:
    """Return an allowed value of half a megabyte or 50,000 items, or None."""
    for branch in _branches(field):
        if branch.get("type") == "string" and branch.get("maxLength", 500_000) >= 500_000:
            return "e" * 500_000
        if branch.get("type") == "array" and branch.get("maxItems", 50_000) >= 50_000:
            return ["e"] * 50_000
    return None


def _branches(schema: JSON) -> Iterator[JSON]:
    yield from schema.get("anyOf", [schema])
