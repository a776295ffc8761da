"""Ids: a prefix that says what it names, and a UUIDv7 (RFC 9562, section 5.7), so that they sort by time."""

from __future__ import annotations

import secrets
import time


def new_id(prefix: str) -> str:
    """`job_0199...`: 48 bits of milliseconds, version 7, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return f"{prefix}_{value:032x}"
