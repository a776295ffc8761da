"""The limit on concurrent jobs in a lane of one worker."""

from __future__ import annotations

import threading


class JobSlots:
    """A fixed number of slots, whose holders run jobs until none is due.

    A message that finds no free slot makes a holder look at the queue once more before it leaves. Without that, a job
    that was queued after the last look would wait for its next notification.
    """

    def __init__(self, size: int) -> None:
        self.size = self._free = size
        #: Looks at the queue that are due, for messages that found no slot.
        self._looks = 0
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        """Take a free slot and return True.

        Without one, a holder looks once more, and the result is False.
        """
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._looks = min(self._looks + 1, self.size)
            return False

    def release(self) -> bool:
        """Free the slot and return True.

        False if the holder must look at the queue once more before.
        """
        with self._lock:
            if self._looks:
                self._looks -= 1
                return False
            self._free += 1
            return True
