"""`python -m worker.jobs.on_request.pack_checkpoint JOB KEY`: package the newest checkpoint of a training.

The package is what the request to stop the training would register now, and is stored under KEY. The job itself does
not notice. The last line of the output is the reason if there is none.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from ml.errors import MLError
from ml.package.manifest import MANIFEST
from store import jobs
from store.blobs import blobs
from store.database import reading
from store.settings import store_settings
from worker.jobs.train import fetch_checkpoints, fetch_inputs

FAILED: Final = 1


def pack_checkpoint(job_id: str, key: str) -> None:
    """Package a checkpoint in a scratch folder, and store it; raises `MLError`."""
    with reading() as session:
        job = jobs.get(session, job_id)
        spec, dataset_id = job.spec, str(job.dataset_id)
    scratch = store_settings().home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkpoint-", dir=scratch) as temporary:
        folder = Path(temporary)
        inputs = fetch_inputs(spec, dataset_id, folder)
        fetch_checkpoints(job_id, folder)
        from ml.learning.pipeline.train import train
        from ml.learning.training.progress import Stop

        result = train(
            inputs.spec,
            inputs.dataset,
            folder,
            start_from=inputs.bases,
            models=inputs.named,
            device="cpu",
            on_progress=lambda _: None,
            should_stop=lambda: Stop.FINISH,
        )
        if not blobs().exists(f"{key}/{MANIFEST}"):
            blobs().put_tree(key, result.package.directory, move=True)


def main() -> int:
    """Run for the job and key on the command line."""
    try:
        pack_checkpoint(sys.argv[1], sys.argv[2])
    except MLError as error:
        sys.stdout.write(f"{error}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
