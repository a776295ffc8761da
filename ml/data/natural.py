"""The order in which people list names: 2 before 10."""

from __future__ import annotations

import re


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Digits by value (a long number is longer, so no number is ever parsed), letters without case, then exactly."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [
        (len(piece.lstrip("0")) if piece.isdecimal() else 0, piece.lstrip("0") if piece.isdecimal() else piece)
        for piece in pieces
    ], name
