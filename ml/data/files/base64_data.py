"""Files that stand within a text: as base64, with or without `data:image/png;base64,` before it."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

BLANKS: Final = b" \t\n\r\v\f"


def from_text(text: str) -> bytes | None:
    """The file; None where the text is no base64."""
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        # Words would take fifty bytes each, were they split off to be joined again.
        return base64.b64decode(encoded.encode("ascii").translate(None, BLANKS), validate=True)
    except (binascii.Error, ValueError):
        return None


def from_cell(cell: Any) -> bytes | None:
    """The file in a cell of a table: bytes as they are, `{"bytes": ...}` as Hugging Face stores it, or base64.

    None where there is none, or nothing is in it.
    """
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return (cell if isinstance(cell, bytes) else from_text(str(cell or ""))) or None
