"""How many runs go on at once in one worker."""

from __future__ import annotations

import threading
from collections import deque


class JobSlots:
    """A job that comes too early waits here, in order.

    Nothing is claimed by waiting: any other worker that hears of the job may take it.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()

    def enter(self, job_id: str) -> bool:
        """Take a slot, or wait in line and be told False."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if job_id not in self._waiting:
                self._waiting.append(job_id)
            return False

    def leave(self) -> str | None:
        """Hand the slot to the first in line, who is returned; with nobody there the slot is free."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free += 1
            return None
