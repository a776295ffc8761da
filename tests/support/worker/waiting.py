"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: What takes a second on a free machine, on one that runs several suites.
PATIENCE_SECONDS: Final = 150.0


def until(condition: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll `condition` and return its first true value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"the condition was not met within {seconds} s"
        time.sleep(0.02)
    return value
