"""Whether a process is still there."""

from __future__ import annotations

import psutil


def is_alive(pid: int) -> bool:
    """A zombie is dead: it waits for a parent that may never ask."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
