"""JSON of which nothing is doubtful: what is no JSON, or has no place in a database or an answer, is told by its place.

An event loop reads nothing beside, so what costs much to read is refused before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic_core import from_json

from app.http.errors import ProblemError
from ml.errors import MAX_SHOWN_CHARACTERS

MOST_VALUES: Final = 2_000_000
"""Each takes up to seventy bytes once it is read, whatever it took as text."""
MAX_NAMES: Final = 200_000
"""Of fields in all objects together: each takes as long as ten other values."""
MOST_FIELDS: Final = 1000
"""Of a body: no path has so many, and each that there is not is compared with those there are."""
LONG_VALUE_BYTES: Final = 64
"""On average."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Some editors put it before a text."""
MOST_PARTS: Final = 8
"""So deep a place is told."""
HINT: Final = "JSON has no NaN, no infinity and no NUL: leave such values out, and let a library write it."
SEND_LESS: Final = "Send fewer inputs at a time, and pictures and recordings as files."

_NAME = re.compile(rb'(?<!\\)"\s*:')
_MAY_BE_INFINITE = re.compile(rb"[eE]\+?\d{3}|\d{309}")
_PLACE = re.compile(r"line (\d+) column (\d+)$")


def strict_json(body: bytes, *, field: str | None = None) -> Any:
    """Decode JSON. NaN, infinities, lone surrogates and NUL are refused: `ProblemError` 422.

    `field` names the part of a form that is decoded.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    values = sum(map(body.count, (b",", b"[", b"{"))) + 1
    if values > MOST_VALUES:
        raise _too_much(f"it holds over {MOST_VALUES:,} values", field)
    if values > MAX_NAMES and sum(1 for _ in _NAME.finditer(body)) > MAX_NAMES:
        raise _too_much(f"its objects have over {MAX_NAMES:,} fields", field)
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if not body.strip():
            raise _not_json("it is empty", field, hint="Send a JSON object.") from None
        raise _not_json(str(error), field, place=_place_of(str(error), body)) from None
    if isinstance(value, dict) and len(value) > MOST_FIELDS:
        raise _too_much(f"it has {len(value):,} fields, over the limit of {MOST_FIELDS:,}", field)
    if b"\\u0000" in body and (place := _first(value, _has_nul)) is not None:
        raise _not_json("the character \\u0000 is not allowed", field, place=place)
    # Where few values make up a large body, as pictures in base64 do, to look at them is quicker than to search it.
    long = len(body) > LONG_VALUE_BYTES * values
    if (long or _MAY_BE_INFINITE.search(body)) and (place := _first(value, _is_infinite)) is not None:
        raise _not_json("a number is too large", field, place=place)
    return value


def _not_json(reason: str, field: str | None, *, place: str = "", hint: str = HINT) -> ProblemError:
    path = ".".join(part for part in (field, place) if part)
    item = {"code": "json_invalid", "message": reason, "hint": hint, **({"path": path} if path else {})}
    where = f" at {place}" if place else ""
    detail = f"{field or 'The body'} is not valid JSON{where}: {reason}. {hint}"
    return ProblemError(422, "invalid_json", detail, errors=[item])


def _too_much(reason: str, field: str | None) -> ProblemError:
    item = {"code": "json_too_large", "message": reason, "hint": SEND_LESS, **({"path": field} if field else {})}
    return ProblemError(
        422, "json_too_large", f"{field or 'The body'} is too much: {reason}. {SEND_LESS}", errors=[item]
    )


def _place_of(reason: str, body: bytes) -> str:
    """The value at which reading ended, as far as that can be told: the last of what comes before it."""
    found = _PLACE.search(reason)
    if found is None:
        return ""
    line, column = map(int, found.groups())
    start = 0
    for _ in range(line - 1):
        start = body.index(b"\n", start) + 1
    try:
        # A nought stands for the value that cannot be read, lest the one before it be taken for the last.
        value = from_json(body[: start + column - 1] + b"0", allow_partial="trailing-strings")
    except ValueError:
        return ""
    parts: list[Any] = []
    while value and isinstance(value, dict | list):
        parts.append(next(reversed(value)) if isinstance(value, dict) else len(value) - 1)
        value = value[parts[-1]]
    return _dotted(parts)


def _first(value: Any, is_wrong: Callable[[Any], bool]) -> str | None:
    """Where there is something wrong; None where nothing is."""
    pending: list[tuple[Any, Any, Any]] = [(None, None, value)]
    while pending:
        node = pending.pop()
        item = node[2]
        if isinstance(item, dict):
            if any(map(is_wrong, item)):
                return _path(node)
            pending.extend((node, key, each) for key, each in item.items())
        elif isinstance(item, list):
            pending.extend((node, index, each) for index, each in enumerate(item))
        elif is_wrong(item):
            return _path(node)
    return None


def _path(node: tuple[Any, Any, Any]) -> str:
    parts: list[Any] = []
    while node[0] is not None:
        parts.append(node[1])
        node = node[0]
    return _dotted(parts[::-1])


def _dotted(parts: Sequence[Any]) -> str:
    """No more of it than is read."""
    return ".".join(str(part)[:MAX_SHOWN_CHARACTERS] for part in parts[:MOST_PARTS])


def _has_nul(item: Any) -> bool:
    return isinstance(item, str) and "\0" in item


def _is_infinite(item: Any) -> bool:
    if isinstance(item, float):
        return item in (float("inf"), float("-inf"))
    return isinstance(item, int) and abs(item) >= 1 << 1023
