"""Rate limits of API keys: counted together by all API processes of a machine.

The state of a key is one number, the time at which its whole quota is available again (the generic cell rate
algorithm, ITU-T I.371). It lies in a file that the processes map into memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Length of the window for which a quota counts.
WINDOW_SECONDS: Final = 60
#: Keys that can be limited at once, and places at which the state of a key may lie.
MAX_KEYS: Final = 4096
MAX_PROBES: Final = 64

_RECORD: Final = struct.Struct("<16sd")
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class RateState:
    """The quota of a key after a request."""

    quota: int
    remaining: int
    #: Until the whole quota is available again.
    reset_seconds: int
    #: Until the next request is accepted; 0 if this one was.
    retry_seconds: int

    def headers(self) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers, and `Retry-After`."""
        fields = {
            "RateLimit-Policy": f'"key";q={self.quota};w={WINDOW_SECONDS}',
            "RateLimit": f'"key";r={self.remaining};t={self.reset_seconds}',
        }
        return {**fields, "Retry-After": str(self.retry_seconds)} if self.retry_seconds else fields


class RateLimiter:
    """Counts the requests of keys; a key may send its whole quota at once."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        """`file` is created on first use; `clock` is the same in all processes."""
        self._file = file
        self._clock = clock
        self._descriptor: int | None = None
        self._map: mmap.mmap | None = None

    def count(self, key_id: str, quota: int) -> RateState:
        """Count a request of a key that may send `quota` a minute, unless over."""
        digest, interval = hashlib.sha256(key_id.encode()).digest()[:16], WINDOW_SECONDS / quota
        descriptor, table = self._open()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            now = self._clock()
            offset, full_at = _locate(table, digest, now)
            # A clock that was set back must not block a key for longer than a window.
            full_at = min(max(full_at, now), now + WINDOW_SECONDS)
            wait = full_at + interval - WINDOW_SECONDS - now
            if wait > _TOLERANCE:
                return RateState(quota, 0, math.ceil(full_at - now), max(1, math.ceil(wait)))
            full_at += interval
            _RECORD.pack_into(table, offset, digest, full_at)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        remaining = math.floor((now + WINDOW_SECONDS - full_at) / interval + _TOLERANCE)
        return RateState(quota, max(0, remaining), math.ceil(full_at - now), 0)

    def close(self) -> None:
        """Close the file."""
        if self._map is not None and self._descriptor is not None:
            self._map.close()
            os.close(self._descriptor)
            self._map = self._descriptor = None

    def _open(self) -> tuple[int, mmap.mmap]:
        if self._map is None or self._descriptor is None:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._descriptor, MAX_KEYS * _RECORD.size)
            self._map = mmap.mmap(self._descriptor, MAX_KEYS * _RECORD.size)
        return self._descriptor, self._map


def _locate(table: mmap.mmap, digest: bytes, now: float) -> tuple[int, float]:
    """Return where the state of a key lies, or can be written, and its time.

    A state whose time has passed says nothing any more, so that its place is free.
    """
    first = int.from_bytes(digest[:4], "little")
    earliest, place = math.inf, 0
    for probe in range(MAX_PROBES):
        offset = (first + probe) % MAX_KEYS * _RECORD.size
        owner, full_at = _RECORD.unpack_from(table, offset)
        if owner == digest:
            return offset, full_at
        if full_at < earliest:
            earliest, place = full_at, offset
    return place, now
