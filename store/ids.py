"""Ids: a prefix that names the type, and a UUIDv7.

Ids sort by time (RFC 9562, section 5.7).
"""

from __future__ import annotations

import secrets
import threading
import time

#: Largest value of an integer column in every supported database.
MAX_VERSION = 2**31 - 1

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """Return an id such as `job_0199...`.

    It holds 48 bits of milliseconds, the version 7, and 74 bits that are random, or increase within a millisecond.
    """
    global _last
    with _lock:
        milliseconds = time.time_ns() // 1_000_000
        _last = max(_last + 1, milliseconds << 74 | secrets.randbits(74))
        ordered = _last
    value = ordered >> 74 << 80 | 7 << 76 | (ordered >> 62 & 0xFFF) << 64 | 2 << 62 | ordered & (1 << 62) - 1
    return f"{prefix}_{value:032x}"


def version_number(text: str) -> int | None:
    """Parse the `3` of `digits@3`; None if no version can have that number."""
    return number if text.isdecimal() and (number := int(text)) <= MAX_VERSION else None
