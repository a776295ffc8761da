"""The order in which people list names: 2 before 10."""

from __future__ import annotations

import re

Key = tuple[list[tuple[int, str]], str]


def natural_key(name: str) -> Key:
    """Sort by this: digits by value, letters without case, then exactly."""
    return [_by_value(piece) for piece in re.split(r"(\d+)", name.casefold())], name


def _by_value(piece: str) -> tuple[int, str]:
    """A number with more digits is larger, so that none is ever parsed, however long."""
    digits = piece.lstrip("0")
    return (len(digits), digits) if piece.isdecimal() else (0, piece)
