"""`plinth down`: stop the service that another process runs."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from plinth.client.errors import PlinthError
from plinth.client.home import read_stack
from plinth.local import processes

if TYPE_CHECKING:
    from pathlib import Path

#: More than a service takes from the signal to the end of all its processes.
WAIT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05


class NotStopped(PlinthError):
    """A service did not end in time."""


def stop_service(home: Path, *, wait_seconds: float = WAIT_SECONDS) -> int | None:
    """End the service of a folder, and return its pid, or None.

    A process that only has the pid of the record is left alone. Raises `NotStopped`.
    """
    record = read_stack(home)
    pid, identity = record.get("pid"), record.get("identity")
    if not isinstance(pid, int) or identity is None or processes.identify(pid) != identity:
        return None
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + wait_seconds
    while processes.identify(pid) == identity:
        if time.monotonic() > deadline:
            raise NotStopped(
                f"The service in {home} (process {pid}) has not ended within {wait_seconds:.0f} s. Its logs are in "
                f"{home / 'logs'}; `kill -9 {pid}` ends it at once, and its jobs resume at the next start."
            )
        time.sleep(POLL_SECONDS)
    return pid
