"""Restart policy of child processes, for `plinth up` and API processes.

Imports nothing but the standard library, so that the server can use it, too.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Delays before restarts, doubled each time until the process runs steadily."""

    first_delay_seconds: float
    max_delay_seconds: float
    #: A process that ran at least this long counts as steady.
    steady_seconds: float


class ChildSupervisor:
    """One child process, across restarts.

    Call `poll` and `restart_if_due` often: the first notices the end of the process, the second restarts it when its
    delay is over.
    """

    def __init__(
        self,
        start: Callable[[], subprocess.Popen[bytes]],
        policy: RestartPolicy,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        """Start the child, or take over a running `process`."""
        self._start = start
        self._policy = policy
        self.process = process or start()
        self._started_at = time.monotonic()
        self._next_delay_seconds = policy.first_delay_seconds
        self._restart_at: float | None = None
        #: Delay before the restart that is due next, or was done last.
        self.delay_seconds = 0.0

    def poll(self) -> int | None:
        """Return the exit status of a process that has just ended; None otherwise."""
        if self._restart_at is not None or (status := self.process.poll()) is None:
            return None
        if time.monotonic() - self._started_at >= self._policy.steady_seconds:
            self._next_delay_seconds = self._policy.first_delay_seconds
        self._schedule()
        return status

    def restart_if_due(self) -> bool:
        """Restart a process whose delay is over; return whether it was restarted.

        An error of the start function is raised, and the restart tried again after the next delay.
        """
        if self._restart_at is None or time.monotonic() < self._restart_at:
            return False
        try:
            self.process = self._start()
        except BaseException:
            self._schedule()
            raise
        self._started_at, self._restart_at = time.monotonic(), None
        return True

    def _schedule(self) -> None:
        self.delay_seconds = self._next_delay_seconds
        self._restart_at = time.monotonic() + self.delay_seconds
        self._next_delay_seconds = min(2 * self.delay_seconds, self._policy.max_delay_seconds)
