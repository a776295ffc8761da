"""Ids: a prefix that says what it names, and a UUIDv7 (RFC 9562, section 5.7), so that they sort by time."""

from __future__ import annotations

import secrets
import threading
import time

LAST_VERSION = 2**31 - 1
"""What an integer column of any database holds."""

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """`job_0199...`: 48 bits of milliseconds, version 7, 74 bits that are random or, within a millisecond, rise."""
    global _last
    with _lock:
        milliseconds = time.time_ns() // 1_000_000
        _last = max(_last + 1, milliseconds << 74 | secrets.randbits(74))
        ordered = _last
    value = ordered >> 74 << 80 | 7 << 76 | (ordered >> 62 & 0xFFF) << 64 | 2 << 62 | ordered & (1 << 62) - 1
    return f"{prefix}_{value:032x}"


def version_number(text: str) -> int | None:
    """`3` of `digits@3`; None where no version can have that number."""
    return number if text.isdecimal() and (number := int(text)) <= LAST_VERSION else None
