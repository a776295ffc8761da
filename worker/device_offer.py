"""Number of devices that this worker offers to one training, without torch."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

from ml.hardware import may_have_gpu

if TYPE_CHECKING:
    from worker.settings import WorkerSettings

#: Program that looks for GPUs with torch, and prints what it has found.
MODULE: Final = "worker.jobs.device_probe"
TIMEOUT_SECONDS: Final = 120

log = logging.getLogger(__name__)


@cache
def offered_devices(settings: WorkerSettings) -> int | None:
    """Return how many GPUs, or cores of a slot, one training may use.

    None if the GPUs cannot be counted.
    """
    if settings.device == "cpu" or not may_have_gpu():
        return settings.cores_of_run
    try:
        process = subprocess.run(
            [sys.executable, "-m", MODULE], capture_output=True, check=True, timeout=TIMEOUT_SECONDS
        )
        return int(json.loads(process.stdout)["devices"])
    except (subprocess.SubprocessError, ValueError, KeyError) as error:
        log.warning("cannot count the GPUs: %s", error)
        return None
