"""`python -m worker.jobs.recommend_base JOB FENCE`: compare base models on a dataset by a linear probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.data.dataset import Dataset
from ml.evaluation.linear_probe import probe, summarize
from ml.package.package import ModelPackage
from ml.spec.recommendation import Recommend
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from worker.jobs import entrypoint
from worker.jobs.progress import PhaseProgress
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd

PHASES = ("fetching", "probing", "recording")


def recommend(claim: Claim, folder: Path, channel: ChildEnd) -> None:  # noqa: ARG001 - a probe is too short to leave
    """Fetch the models and the dataset, compare, and end the job with the ranking."""
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    spec = Recommend.model_validate(claim.spec)
    dataset = Dataset.open(blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset"))
    packages = {}
    for number, reference in enumerate(spec.bases or ()):
        with reading() as session:
            key = models.version(session, reference).key
        packages[reference] = ModelPackage.open(blobs().fetch_tree(key, folder / "models" / str(number)))
    phases(PHASES[1])
    ranking = probe(packages, dataset.rows("train"))
    phases(PHASES[2])
    task = spec.task.name if spec.task else None
    content = {"task": task, "dataset": spec.dataset, "split": "train", **ranking, "notes": summarize(ranking)}
    retrying_transaction(lambda session: jobs.succeed(session, claim, report=content, reason="completed"))


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(recommend))
