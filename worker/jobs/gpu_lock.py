"""GPU locks: one run per GPU.

A file lock that the run itself holds, so that it is free only once the run has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from typing import IO, TYPE_CHECKING

import torch

from ml.errors import TrainingInterrupted
from ml.learning.nn import device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

POLL_SECONDS = 0.5


@contextlib.contextmanager
def gpu_locks(
    device_name: str, count: int, *, locks: Path, on_wait: Callable[[str], None], should_leave: Callable[[], bool]
) -> Iterator[list[str]]:
    """Yield the names of the devices to compute on.

    GPUs are reserved for this run, all at once: a run that holds some never waits for others.

    Waits until as many GPUs are free.

    Args:
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        count: Number of devices, which `ml.learning.nn.device.choose_several` has found.
        locks: Folder of the lock files.
        on_wait: Called with a message before waiting.
        should_leave: Polled while waiting.

    Raises:
        TrainingInterrupted: `should_leave` returned True.
    """
    candidates = _candidates(device_name)
    if candidates == ["cpu"]:
        yield ["cpu"] * count
        return
    locks.mkdir(parents=True, exist_ok=True)
    reservations = _reserve_first_free(candidates, locks, count)
    if not reservations:
        on_wait(f"waiting for {'' if count == 1 else f'{count} of '}{' or '.join(candidates)}, in use by other runs")
    while not reservations:
        if should_leave():
            raise TrainingInterrupted("requested to leave while waiting for a GPU")
        time.sleep(POLL_SECONDS)
        reservations = _reserve_first_free(candidates, locks, count)
    with contextlib.ExitStack() as stack:
        for lock in reservations.values():
            stack.enter_context(lock)
        yield list(reservations)


def _candidates(device_name: str) -> list[str]:
    chosen = device.choose(device_name).name
    if chosen == "cpu" or device_name == chosen:
        return [chosen]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _reserve_first_free(names: Sequence[str], locks: Path, count: int) -> dict[str, IO[bytes]]:
    """Return the locks of `count` free devices by name, or none if there are fewer."""
    reservations: dict[str, IO[bytes]] = {}
    for name in names:
        if len(reservations) == count:
            break
        lock: IO[bytes] = (locks / f"{name.replace(':', '-')}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            reservations[name] = lock
    if len(reservations) == count:
        return reservations
    for lock in reservations.values():
        lock.close()
    return {}
