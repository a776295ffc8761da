"""`python -m worker.jobs.train JOB FENCE`: one run of a spec, in a process of its own."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from ml.learning.training.run_folder import RunFolder
from ml.spec.catalog import Catalog
from ml.spec.schema import parse_stored_spec, references, split_references
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from store.errors import NotFound, StaleClaim
from store.settings import store_settings
from worker.control_channel import FINISH, LEAVE, ChildEnd
from worker.jobs import entrypoint
from worker.jobs.progress import ProgressReporter
from worker.jobs.registration import register
from worker.settings import worker_settings

if TYPE_CHECKING:
    from pathlib import Path

    from ml.spec.schema import Spec
    from store.jobs import Claim

log = logging.getLogger(__name__)


def run(claim: Claim, folder: Path, line: ChildEnd) -> None:
    """Fetch what is needed, train from the last checkpoint on, and register the model."""
    reporter = ProgressReporter(claim, blobs())
    reporter.say("starting")
    spec = parse_stored_spec(claim.spec)
    dataset = blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset")
    parent_id, bases, named = _models(spec, folder)
    bring_checkpoints(claim, folder)
    try:
        # Seconds' worth of imports: only now, when the line to the supervisor holds and everything else is there.
        from ml.learning.pipeline.train import train
        from ml.learning.training.progress import Stop
        from worker.jobs import gpu_lock

        stops = {LEAVE: Stop.LEAVE, FINISH: Stop.FINISH}
        with gpu_lock.gpu_lock(
            worker_settings().device,
            locks=store_settings().home / "locks",
            on_wait=reporter.say,
            should_leave=lambda: line.request == LEAVE,
        ) as device:
            result = train(
                spec,
                dataset,
                folder,
                start_from=bases,
                models=named,
                device=device,
                on_progress=reporter,
                should_stop=lambda: stops.get(line.request) if line.request else None,
            )
    finally:
        # What led to a failure is worth reading, too.
        with suppress(StaleClaim):
            reporter.write()
    register(result.package, claim, parent_id=parent_id, report=result.report, reason=result.reason)


def bring_checkpoints(claim: Claim, folder: Path) -> None:
    """Put those of earlier runs where the trainer looks; it takes the newest that is whole."""
    fetched = RunFolder(folder).fetched_checkpoints
    fetched.mkdir()
    with reading() as session:
        keys = [row.key for row in jobs.checkpoints(session, claim.job_id)]
    for number, key in enumerate(keys):
        try:
            checkpoint = blobs().fetch_tree(key, folder / "fetched" / str(number))
        except NotFound:
            log.warning("the checkpoint %s is gone", key)
        else:
            (fetched / str(number)).symlink_to(checkpoint)


def _models(spec: Spec, folder: Path) -> tuple[str | None, Path | dict[str, Path] | None, dict[str, Path]]:
    """What to start from, and the packages of those that options name, by path; first the id that lineage names.

    Where several models are started from, it is the first of them.
    """
    ids: dict[str, str] = {}
    packages: dict[str, Path] = {}
    for number, (path, reference) in enumerate(references(spec, Catalog.load()).items()):
        with reading() as session:
            model = models.version(session, reference)
        ids[path], packages[path] = model.id, blobs().fetch_tree(model.key, folder / "models" / str(number))
    bases, named = split_references(packages)
    return next((ids[path] for path in ids if path not in named), None), bases, named


if __name__ == "__main__":
    entrypoint.leave(entrypoint.main(run))
