"""The limit on concurrent jobs in a lane of one worker."""

from __future__ import annotations

import threading
from collections import deque


class JobSlots:
    """A fixed number of slots, and a queue of the jobs that wait for one.

    Waiting claims nothing: any other worker that is notified of the job may run it.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()

    def acquire(self, job_id: str) -> bool:
        """Take a free slot, or queue the job and return False."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if job_id not in self._waiting:
                self._waiting.append(job_id)
            return False

    def release(self) -> str | None:
        """Pass the slot to the first waiting job and return its id.

        Without one, free the slot and return None.
        """
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free += 1
            return None
