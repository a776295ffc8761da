"""`python -m worker.jobs.on_request.measure_cost`: measure the cost of a training.

It trains a few steps. It reads `{"spec": ..., "dataset_id": ...}` from the standard input, and writes a `TrainingCost`
as JSON, or with exit status 1 the reason why there is none.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from ml.errors import MLError
from store.settings import store_settings
from worker.jobs.entrypoint import NICENESS
from worker.jobs.train import fetch_inputs
from worker.settings import worker_settings


def measure(request: dict[str, object]) -> str:
    """Return the cost as JSON; raises `MLError`."""
    scratch = store_settings().home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cost-", dir=scratch) as temporary:
        folder = Path(temporary)
        spec = request["spec"]
        assert isinstance(spec, dict)
        inputs = fetch_inputs(spec, str(request["dataset_id"]), folder)
        from ml.learning.pipeline.cost import measure_cost

        settings = worker_settings()
        cost = measure_cost(
            inputs.spec,
            inputs.dataset,
            folder,
            start_from=inputs.bases,
            models=inputs.named,
            device=settings.device,
            threads=settings.choose_threads().count,
        )
        return cost.model_dump_json()


def main() -> int:
    """Run for the request on the standard input."""
    os.nice(NICENESS)
    try:
        sys.stdout.write(measure(json.load(sys.stdin)) + "\n")
    except MLError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
