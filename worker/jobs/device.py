"""`python -m worker.jobs.device`: print as JSON on which device a run would compute, and why."""

from __future__ import annotations

import json
import sys

from ml.learning.nn import device
from worker.settings import worker_settings


def main() -> int:
    """Print the device of this worker's settings; raises `SpecError` if there is no such device."""
    settings = worker_settings()
    chosen = device.choose(settings.device)
    threads = settings.choose_threads()
    facts = {**device.describe(chosen, threads=threads.count), "threads_why": threads.reason}
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
