"""`python -m worker.jobs.device_probe`: print as JSON on which device a run would compute, and why."""

from __future__ import annotations

import json
import sys
from typing import Literal

from ml.errors import SpecError
from ml.learning.nn import device
from worker.settings import WorkerSettings, worker_settings


def count_devices(settings: WorkerSettings) -> int:
    """Return how many GPUs, or cores of a slot, one training may use."""
    if device.choose(settings.device).name == "cpu":
        return settings.cores_of_run
    return len(device.choose_several(settings.device, "all"))


def choose_count(request: int | Literal["all"] | None, settings: WorkerSettings) -> int:
    """Return the number of devices of a training; raises `SpecError` if this worker has fewer."""
    available = count_devices(settings)
    count = available if request == "all" else request or 1
    if count > available:
        message = f"this worker has {available} {'device' if available == 1 else 'devices'} for a training, not {count}"
        raise SpecError(message, hint='Lower devices, or set it to "all".')
    return count


def main() -> int:
    """Print the device of this worker's settings; raises `SpecError` if there is no such device."""
    settings = worker_settings()
    chosen = device.choose(settings.device)
    threads = settings.choose_threads()
    facts = {
        **device.describe(chosen, threads=threads.count),
        "threads_why": threads.reason,
        "devices": count_devices(settings),
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
