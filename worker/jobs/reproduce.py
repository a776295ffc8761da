"""`python -m worker.jobs.reproduce JOB FENCE`: repeat a training, and compare its weights with the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.errors import SpecError
from ml.package.package import ModelPackage
from ml.spec.reproduction import Reproduce
from store import jobs, models
from store.blobs import blobs
from store.database import reading
from worker.jobs import entrypoint
from worker.jobs.progress import ProgressReporter
from worker.jobs.train import fetch_checkpoints, fetch_inputs, run_trainer
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd


def reproduce(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Train as the original job did, compare, and end the job with the answer."""
    reporter = ProgressReporter(claim, blobs())
    reporter.log("starting")
    job_id = Reproduce.model_validate(claim.spec).job
    with reading() as session:
        original = jobs.get(session, job_id)
        model = models.of_job(session, job_id)
        if model is None or model.deleted_at is not None:
            raise SpecError(
                f"the model of {job_id} was deleted, so there is nothing to compare with",
                hint="Clone the job to train its spec again.",
            )
        key, reference = model.key, f"{model.name}@{model.version}"
    package = ModelPackage.open(blobs().fetch_tree(key, folder / "original"))
    inputs = fetch_inputs(original.spec, str(original.dataset_id), folder)
    fetch_checkpoints(claim.job_id, folder)
    repeated = run_trainer(inputs.spec, inputs, folder, channel, reporter)
    if repeated.reason == "stopped":
        raise SpecError(
            "the repetition was stopped before its end, so there is nothing to compare",
            hint="Reproduce the job again, and let it end.",
        )
    from ml.learning.pipeline.reproduction import compare

    comparison = compare(package, repeated.package)
    notes = [comparison["answer"]]
    if comparison["likely_reason"]:
        notes.append(f"likely reason: {comparison['likely_reason']}")
    report: dict[str, Any] = {"job": job_id, "model": reference, **comparison, "notes": notes}
    retrying_transaction(lambda session: jobs.succeed(session, claim, report=report, reason="completed"))


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(reproduce))
