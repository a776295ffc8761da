"""Natural sort order of names: 2 before 10."""

from __future__ import annotations

import re

Key = tuple[list[tuple[int, str]], str]


def natural_sort_key(name: str) -> Key:
    """Return a sort key that compares digits by value, then characters without case, then exactly."""
    return [_piece_key(piece) for piece in re.split(r"(\d+)", name.casefold())], name


def _piece_key(piece: str) -> tuple[int, str]:
    """Compare numbers by their count of digits first, so that no number is parsed."""
    digits = piece.lstrip("0")
    return (len(digits), digits) if piece.isdecimal() else (0, piece)
