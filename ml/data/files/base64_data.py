"""Files encoded in a text as base64, with or without a `data:image/png;base64,` prefix."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

WHITESPACE: Final = b" \t\n\r\v\f"


def from_text(text: str) -> bytes | None:
    """Decode the file in a text; None if the text is not base64."""
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        # `split` and `join` would need fifty bytes for every word.
        return base64.b64decode(encoded.encode("ascii").translate(None, WHITESPACE), validate=True)
    except (binascii.Error, ValueError):
        return None


def from_cell(cell: Any) -> bytes | None:
    """Decode the file in a table cell; None if missing or empty.

    A cell holds bytes, `{"bytes": ...}` as Hugging Face stores it, or base64.
    """
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return (cell if isinstance(cell, bytes) else from_text(str(cell or ""))) or None
