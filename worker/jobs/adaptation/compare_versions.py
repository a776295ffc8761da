"""`python -m worker.jobs.adaptation.compare_versions JOB FENCE`: compare a version with its successor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.data.dataset import Dataset
from ml.errors import TrainingInterrupted
from ml.evaluation.comparison import compare_packages
from ml.package.package import ModelPackage
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from worker.control_channel import LEAVE
from worker.jobs import entrypoint
from worker.jobs.progress import PhaseProgress
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd

PHASES = ("fetching", "predicting", "recording")
#: Split whose rows are compared.
SPLIT = "test"


def compare(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Fetch both versions and the dataset, compare, and end the job with the report."""
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    packages = []
    for name in ("model", "candidate"):
        with reading() as session:
            model = models.version(session, claim.spec[name])
        packages.append(ModelPackage.open(blobs().fetch_tree(model.key, folder / name)))
    dataset = Dataset.open(blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset"))

    def leave_if_requested() -> None:
        if channel.request == LEAVE:
            raise TrainingInterrupted("interrupted during a comparison, which begins anew")

    phases(PHASES[1])
    current, candidate = packages
    report = compare_packages(
        current,
        candidate,
        dataset.rows(SPLIT),
        old_rows=claim.spec["old_rows"],
        robustness=claim.spec.get("robustness", False),
        on_batch=leave_if_requested,
    )
    phases(PHASES[-1])
    content = {**{name: claim.spec[name] for name in ("model", "candidate", "dataset")}, **report}
    retrying_transaction(lambda session: jobs.succeed(session, claim, report=content, reason="completed"))


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(compare))
