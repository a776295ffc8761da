"""One run a GPU: a lock for each, held by the run itself, so that it is free only when that run is really gone."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import torch

from ml.errors import TrainingInterrupted
from ml.learning.nn import device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

POLL_SECONDS = 0.5


@contextmanager
def gpu_lock(
    asked: str, *, locks: Path, on_wait: Callable[[str], None], should_leave: Callable[[], bool]
) -> Iterator[str]:
    """The device to compute on, for this run alone if it is a GPU; waits for one to be free.

    Raises `TrainingInterrupted` where the run is asked to leave meanwhile.
    """
    wanted = _candidates(asked)
    if wanted == ["cpu"]:
        yield "cpu"
        return
    locks.mkdir(parents=True, exist_ok=True)
    taken = _first_free(wanted, locks)
    if taken is None:
        on_wait(f"waiting for {' or '.join(wanted)}, taken by another run")
    while taken is None:
        if should_leave():
            raise TrainingInterrupted("asked to leave while waiting for a GPU")
        time.sleep(POLL_SECONDS)
        taken = _first_free(wanted, locks)
    name, lock = taken
    with lock:
        yield name


def _candidates(asked: str) -> list[str]:
    chosen = device.choose(asked).name
    if chosen == "cpu" or asked == chosen:
        return [chosen]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _first_free(names: Sequence[str], locks: Path) -> tuple[str, IO[bytes]] | None:
    for name in names:
        lock = (locks / f"{name.replace(':', '-')}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return name, lock
    return None
