"""`python -m worker.jobs.device_probe`: print as JSON on which device a run would compute, and why.

A machine without a GPU is known without torch, whose import takes two seconds. `--torch` imports it in any case, which
shows that it can be.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Literal

from ml.errors import SpecError
from ml.hardware import has_bfloat16, may_have_gpu
from worker.settings import WorkerSettings, worker_settings

TORCH_OPTION = "--torch"


def count_devices(settings: WorkerSettings) -> int:
    """Return how many GPUs, or cores of a slot, one training may use."""
    if _is_cpu(settings):
        return settings.cores_of_run
    from ml.learning.nn import device

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


def describe_device(settings: WorkerSettings, *, with_torch: bool = False) -> dict[str, str | int]:
    """Return facts about the device of runs, for people.

    Args:
        settings: Settings of this worker.
        with_torch: Import torch even if the device is known without it.

    Raises:
        PackageNotFoundError: torch is not installed.
        SpecError: There is no such device.
    """
    threads = settings.choose_threads()
    facts: dict[str, str | int]
    if _is_cpu(settings) and not with_torch:
        facts = {
            "device": "cpu",
            "why": "requested" if settings.device == "cpu" else "this machine has no GPU",
            "torch": version("torch"),
            "precision": "bfloat16" if has_bfloat16() else "float32",
            "threads": threads.count,
        }
    else:
        from ml.learning.nn import device

        facts = device.describe(device.choose(settings.device), threads=threads.count)
    return {**facts, "threads_why": threads.reason, "devices": count_devices(settings)}


def _is_cpu(settings: WorkerSettings) -> bool:
    return settings.device == "cpu" or (settings.device == "auto" and not may_have_gpu())


def main() -> int:
    """Print the device of this worker's settings; raises `SpecError` if there is no such device."""
    facts = describe_device(worker_settings(), with_torch=TORCH_OPTION in sys.argv[1:])
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
