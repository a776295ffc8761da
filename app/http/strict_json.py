"""Strict JSON decoding; errors carry the path of the bad value.

Rejects what JSON, the database or a response cannot hold: NaN, infinities, lone surrogates and NUL. Decoding blocks the
event loop, so a body that is expensive to decode is rejected before it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from pydantic_core import from_json

from app.http.errors import ProblemError
from ml.errors import MAX_SHOWN_CHARACTERS, Finding

#: Values in a body. A decoded value takes up to 70 bytes, however short its text is.
MAX_VALUES: Final = 2_000_000
#: Field names in all objects of a body; a name takes as long to decode as ten other values.
MAX_NAMES: Final = 200_000
#: Fields at the top level of a body. No path has this many, and each unknown field is compared with the known ones.
MAX_TOP_LEVEL_FIELDS: Final = 1000
#: Average size in bytes above which it is faster to visit all values than to search the body.
LONG_VALUE_BYTES: Final = 64
#: Parts of a path that are reported.
MAX_PATH_PARTS: Final = 8

#: Some editors write it at the start of a text.
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
INVALID_HINT: Final = "JSON has no NaN, no infinity and no NUL: leave such values out, and encode with a JSON library."
SIZE_HINT: Final = "Send fewer inputs per request, and images and audio clips as files."

_NAME = re.compile(rb'(?<!\\)"\s*:')
_POSSIBLE_INFINITY = re.compile(rb"[eE]\+?\d{3}|\d{309}")
_POSITION = re.compile(r"line (\d+) column (\d+)$")


def strict_json(body: bytes, *, field: str | None = None, has_nan: bool = False) -> Any:
    """Decode JSON; raises `ProblemError` 422 `invalid_json` or `json_too_large`.

    `field` names the form field that is decoded, and starts the path of the finding. `has_nan` accepts NaN, which some
    clients write for a missing value.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    count = sum(map(body.count, (b",", b"[", b"{"))) + 1
    _check_size(body, count, field)
    try:
        value = from_json(body, allow_inf_nan=has_nan)
    except ValueError as error:
        if not body.strip():
            raise _invalid("it is empty", field, hint="Send a JSON object.") from None
        raise _invalid(str(error), field, path=_path_of_error(str(error), body)) from None
    if isinstance(value, dict) and len(value) > MAX_TOP_LEVEL_FIELDS:
        raise _too_large(f"too many fields ({len(value):,}, limit {MAX_TOP_LEVEL_FIELDS:,})", field)
    if b"\\u0000" in body and (path := _find_first(value, _has_nul)) is not None:
        raise _invalid("the character \\u0000 is not allowed", field, path=path)
    # In a large body of few values, such as images in base64, visiting the values is faster than searching the body.
    is_sparse = len(body) > LONG_VALUE_BYTES * count
    may_be_infinite = is_sparse or _POSSIBLE_INFINITY.search(body) or (has_nan and b"Infinity" in body)
    if may_be_infinite and (path := _find_first(value, _is_infinite)) is not None:
        raise _invalid("the number is too large (limit 1.8e308)", field, path=path)
    return value


def quick_json(body: bytes) -> Any:
    """Decode small JSON in a tenth of the time of `strict_json`.

    Raises `ValueError` where that one must judge it.
    """
    # Searching for one byte takes a tenth of the time of searching for six.
    if b"\\" in body and b"\\u0000" in body:
        raise ValueError("has the character NUL")
    return orjson.loads(body)


def _check_size(body: bytes, count: int, field: str | None) -> None:
    if count > MAX_VALUES:
        raise _too_large(f"too many JSON values (limit {MAX_VALUES:,})", field)
    if count > MAX_NAMES and sum(1 for _ in _NAME.finditer(body)) > MAX_NAMES:
        raise _too_large(f"too many field names in JSON objects (limit {MAX_NAMES:,})", field)


def _invalid(reason: str, field: str | None, *, path: str = "", hint: str = INVALID_HINT) -> ProblemError:
    full_path = ".".join(part for part in (field, path) if part)
    finding = Finding(code="json_invalid", message=reason, path=full_path or None, hint=hint)
    location = f" at {path}" if path else ""
    detail = f"{field or 'The body'} is not valid JSON{location}: {reason}. {hint}"
    return ProblemError(422, "invalid_json", detail, errors=[finding])


def _too_large(reason: str, field: str | None) -> ProblemError:
    finding = Finding(code="json_too_large", message=reason, path=field, hint=SIZE_HINT)
    subject = f"{field}: {reason}" if field else reason[0].upper() + reason[1:]
    return ProblemError(422, "json_too_large", f"{subject}. {SIZE_HINT}", errors=[finding])


def _path_of_error(reason: str, body: bytes) -> str:
    """Return the path at which decoding failed; "" if unknown."""
    position = _POSITION.search(reason)
    if position is None:
        return ""
    line, column = map(int, position.groups())
    start = 0
    for _ in range(line - 1):
        start = body.index(b"\n", start) + 1
    try:
        # The 0 stands in for the invalid value; without it the value before would be the last one.
        value = from_json(body[: start + column - 1] + b"0", allow_partial="trailing-strings")
    except ValueError:
        return ""
    parts: list[Any] = []
    while value and isinstance(value, dict | list):
        parts.append(next(reversed(value)) if isinstance(value, dict) else len(value) - 1)
        value = value[parts[-1]]
    return _join(parts)


def _find_first(value: Any, is_invalid: Callable[[Any], bool]) -> str | None:
    """Return the path of the first invalid value; None if there is none.

    An object with an invalid name is invalid.
    """
    pending: list[tuple[Any, Any, Any]] = [(None, None, value)]
    while pending:
        node = pending.pop()
        item = node[2]
        if isinstance(item, dict):
            if any(map(is_invalid, item)):
                return _path_of_node(node)
            pending.extend((node, name, child) for name, child in item.items())
        elif isinstance(item, list):
            pending.extend((node, index, child) for index, child in enumerate(item))
        elif is_invalid(item):
            return _path_of_node(node)
    return None


def _path_of_node(node: tuple[Any, Any, Any]) -> str:
    parts: list[Any] = []
    while node[0] is not None:
        parts.append(node[1])
        node = node[0]
    return _join(parts[::-1])


def _join(parts: Sequence[Any]) -> str:
    return ".".join(str(part)[:MAX_SHOWN_CHARACTERS] for part in parts[:MAX_PATH_PARTS])


def _has_nul(item: Any) -> bool:
    return isinstance(item, str) and "\0" in item


def _is_infinite(item: Any) -> bool:
    if isinstance(item, float):
        return item in (float("inf"), float("-inf"))
    return isinstance(item, int) and abs(item) >= 1 << 1023
