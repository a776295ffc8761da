"""Encoding of HTTP/1.1 response heads, for responses that bypass the ASGI server."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode headers, one line each."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def response_head(status: int, *lines: bytes) -> bytes:
    """Encode a head: status line, headers as `header_lines` encodes them, blank line."""
    return b"".join((_status_line(status), *lines, b"\r\n"))


@cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
