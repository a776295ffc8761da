"""GPU lock: one run per GPU.

A file lock that the run itself holds, so that it is free only once the run has ended.
"""

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
    device_name: str, *, locks: Path, on_wait: Callable[[str], None], should_leave: Callable[[], bool]
) -> Iterator[str]:
    """Yield the name of the device to compute on.

    A GPU is reserved for this run.

    Waits until a GPU is free.

    Args:
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        locks: Folder of the lock files.
        on_wait: Called with a message before waiting.
        should_leave: Polled while waiting.

    Raises:
        TrainingInterrupted: `should_leave` returned True.
    """
    candidates = _candidates(device_name)
    if candidates == ["cpu"]:
        yield "cpu"
        return
    locks.mkdir(parents=True, exist_ok=True)
    reservation = _reserve_first_free(candidates, locks)
    if reservation is None:
        on_wait(f"waiting for {' or '.join(candidates)}, in use by another run")
    while reservation is None:
        if should_leave():
            raise TrainingInterrupted("requested to leave while waiting for a GPU")
        time.sleep(POLL_SECONDS)
        reservation = _reserve_first_free(candidates, locks)
    name, lock = reservation
    with lock:
        yield name


def _candidates(device_name: str) -> list[str]:
    chosen = device.choose(device_name).name
    if chosen == "cpu" or device_name == chosen:
        return [chosen]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _reserve_first_free(names: Sequence[str], locks: Path) -> tuple[str, IO[bytes]] | None:
    for name in names:
        lock = (locks / f"{name.replace(':', '-')}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return name, lock
    return None
