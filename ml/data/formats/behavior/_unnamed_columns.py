"""Columns of published logs without column names, by their cells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ID: Final = r"\S+"
_NUMBER: Final = r"\d+"
_DECIMAL: Final = r"-?\d+(?:\.\d+)?"
#: Degrees, with more places than sensors measure.
_COORDINATE: Final = r"-?\d{1,3}\.\d{4,}|-?\d{1,3}\.0"
#: Gowalla's numbers, and Brightkite's hashes.
_PLACE: Final = r"\d{2,}|[0-9a-f]{32,}"
_ISO_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
_SECONDS: Final = r"1\d{9}"


class _Signature(NamedTuple):
    """Patterns of the cells of a row, and the positions of its fields."""

    cells: tuple[str, ...]
    fields: Mapping[str, int]


_SIGNATURES: Final = (
    # YooChoose's clicks: session, time, item, category. Its purchases: session, time, item, price, quantity.
    _Signature((_NUMBER, _ISO_TIME, _NUMBER, _ID), {"user": 0, "timestamp": 1, "item": 2}),
    _Signature((_NUMBER, _ISO_TIME, _NUMBER, _NUMBER, _NUMBER), {"user": 0, "timestamp": 1, "item": 2}),
    # Taobao: user, item, category, behavior, time.
    _Signature(
        (_NUMBER, _NUMBER, _NUMBER, r"pv|buy|cart|fav", _SECONDS), {"user": 0, "item": 1, "event": 3, "timestamp": 4}
    ),
    # Gowalla and Brightkite: user, time, latitude, longitude, place.
    _Signature((_NUMBER, _ISO_TIME, _COORDINATE, _COORDINATE, _PLACE), {"user": 0, "timestamp": 1, "item": 4}),
    # Steam: user, name of the game, behavior, hours, a 0 that says nothing.
    _Signature((_NUMBER, r".*\S.*", r"purchase|play", _DECIMAL, r"0"), {"user": 0, "item": 1, "event": 2}),
    # Last.fm 1K: user, time, artist id, artist, track id, track.
    _Signature((_ID, _ISO_TIME, r"[0-9a-f-]*", r".+", r"[0-9a-f-]*", r".+"), {"user": 0, "timestamp": 1, "item": 5}),
)


def find_unnamed_fields(cells: Sequence[str]) -> dict[str, int]:
    """Return the positions of the fields in a row of a published log.

    They are empty for another row.
    """
    stripped = [cell.strip() for cell in cells]
    for signature in _SIGNATURES:
        if len(signature.cells) == len(stripped) and all(map(re.fullmatch, signature.cells, stripped)):
            return dict(signature.fields)
    return {}
