"""SHA-256 checksums of files, computed once for as long as a file stays unchanged."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from os import stat_result
    from pathlib import Path

#: Seconds since the last change after which a digest is cached. A file changed more recently may change again without
#: a new time stamp, since time stamps advance with the ticks of the kernel.
STABLE_SECONDS: Final = 1.0
MAX_CACHED_DIGESTS: Final = 10_000

_digests: dict[tuple[int, ...], str] = {}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_digest(path: Path) -> str:
    """Return `digest(path)` without reading an unchanged file again: 90 MB take 60 ms.

    Like all checksums here it protects against damage, not against attacks. If a disk loses data that was written, the
    next process notices.
    """
    before = path.stat()
    cached = _digests.get(_identity(before))
    if cached is not None:
        return cached
    computed = digest(path)
    is_unchanged = _identity(path.stat()) == _identity(before)
    if is_unchanged and time.time() - before.st_ctime > STABLE_SECONDS:
        if len(_digests) >= MAX_CACHED_DIGESTS:
            _digests.clear()
        _digests[_identity(before)] = computed
    return computed


def _identity(stat: stat_result) -> tuple[int, ...]:
    # A process that writes into a file, or replaces it, cannot choose its ctime.
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
