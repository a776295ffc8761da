"""`python -m tests.support.worker.empty_worker`: a worker whose runs wait, and register a model without files."""

from __future__ import annotations

import sys
import time

from store import jobs
from store.database import transaction
from store.ids import new_id
from store.models import NewModel
from worker.__main__ import main
from worker.supervisor import Run

RUN_SECONDS = 0.1


def supervise(run: Run) -> None:
    """Wait, and end the job with a model."""
    time.sleep(RUN_SECONDS)
    model_id = new_id("mdl")
    model = NewModel(
        id=model_id,
        name=str(run.claim.model_name),
        task=None,
        architectures={},
        parameters=0,
        bytes=0,
        metrics={},
        labels=None,
        formats=[],
        files=[],
        key=f"models/{model_id}",
        manifest_sha256="0" * 64,
        parent_id=None,
    )
    with transaction() as session:
        jobs.succeed(session, run.claim, model=model)


if __name__ == "__main__":
    Run.supervise = supervise  # type: ignore[method-assign]  # claims, leases and order are what is tested
    sys.exit(main())
