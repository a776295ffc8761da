"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: What takes a second on a free machine, on one that runs several suites.
PATIENCE_SECONDS: Final = 150.0


#: Pauses between two looks, as a fraction of the time so far: a look takes milliseconds of the processor that the
#: awaited process computes on.
PAUSE_FRACTION: Final = 0.05
MIN_PAUSE_SECONDS: Final = 0.02
MAX_PAUSE_SECONDS: Final = 0.25


def until(condition: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll `condition` and return its first true value; fails after `seconds`."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, f"the condition was not met within {seconds} s"
        time.sleep(min(MAX_PAUSE_SECONDS, max(MIN_PAUSE_SECONDS, PAUSE_FRACTION * waited)))
    return value
