"""Values of tus headers: metadata and checksums."""

from __future__ import annotations

import base64
import binascii

from app.http.errors import ProblemError


def parse_metadata(header: str) -> dict[str, str]:
    """Parse `Upload-Metadata`; raises `ProblemError` 400 for values that are not base64."""
    pairs = (pair.strip().partition(" ") for pair in header.split(",") if pair.strip())
    return {name: decode_base64(value, "Upload-Metadata").decode("utf-8", "replace") for name, _, value in pairs}


def decode_base64(value: str, header: str) -> bytes:
    """Decode a value of a header; raises `ProblemError` 400."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        detail = f"{header} has the value {value[:40]!r}, which is not base64. Encode it, with padding."
        raise ProblemError(400, "invalid_header", detail) from None
