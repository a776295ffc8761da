"""`python -m worker.jobs.evaluate_model JOB FENCE`: evaluate a model on a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.data.dataset import Dataset
from ml.errors import SpecError, TrainingInterrupted
from ml.evaluation.evaluate import evaluate_package
from ml.package.package import ModelPackage
from ml.spec.evaluation import Evaluate, check_evaluation, choose_split
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from worker.control_channel import LEAVE
from worker.jobs import entrypoint
from worker.jobs.progress import PhaseProgress
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from store.jobs import Claim
    from worker.control_channel import ChildEnd

PHASES = ("fetching", "predicting", "measuring", "recording")


def evaluate(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Fetch model and dataset, evaluate, and end the job with the report."""
    phases = PhaseProgress(claim, PHASES)
    phases(PHASES[0])
    spec = Evaluate.model_validate(claim.spec)
    with reading() as session:
        model = models.version(session, spec.model)
    package = ModelPackage.open(blobs().fetch_tree(model.key, folder / "package"))
    dataset = Dataset.open(blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset"))
    # Again, as the dataset may not have been ready when the job was submitted.
    if findings := check_evaluation(spec, package.manifest, dataset.summary):
        raise SpecError.of(findings)

    def leave_if_requested() -> None:
        if channel.request == LEAVE:
            raise TrainingInterrupted("interrupted during an evaluation, which begins anew")

    split = choose_split(spec, dataset.summary)
    report = evaluate_package(
        package,
        dataset,
        split=split,
        robustness=spec.robustness,
        on_phase=phases,
        on_batch=leave_if_requested,
    )
    phases(PHASES[-1])
    content = {"model": spec.model, "dataset": spec.dataset, **report}
    metrics = {f"{split}/{name}": value for name, value in report["metrics"].items()}

    def end(session: Session) -> None:
        jobs.report(session, claim, metrics=metrics)
        jobs.succeed(session, claim, report=content, reason="completed")

    retrying_transaction(end)


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(evaluate))
