"""`python -m worker.jobs.prune JOB FENCE`: remove units of a model, and train what remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.data.dataset import Dataset
from ml.errors import SpecError
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.pruning import Prune, check_pruning
from store import models
from store.blobs import blobs
from store.database import reading
from worker.jobs import entrypoint
from worker.jobs.registration import register
from worker.jobs.train import TrainingInputs, fetch_checkpoints, make_reporter, run_trainer

if TYPE_CHECKING:
    from pathlib import Path

    from store.jobs import Claim
    from worker.control_channel import ChildEnd


def prune(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Prune a model, train from the last checkpoint, compare, and register the smaller model."""
    reporter = make_reporter(claim)
    reporter.log("starting")
    spec = Prune.model_validate(claim.spec)
    with reading() as session:
        model = models.version(session, spec.model)
    original = ModelPackage.open(blobs().fetch_tree(model.key, folder / "original"))
    dataset = blobs().fetch_tree(f"datasets/{claim.dataset_id}", folder / "dataset")
    data = Dataset.open(dataset)
    # Again, as the dataset may not have been ready when the job was submitted.
    if findings := check_pruning(spec, Catalog.load(), original.manifest, data.summary):
        raise SpecError.of(findings)

    from ml.learning.pipeline import pruning

    # Repeated by a run that resumes: it takes seconds, and gives the same units.
    pruned = pruning.prune(original, data.rows("train"), operations=spec.operations)
    smaller = pruning.write_pruned(original, pruned, folder / "pruned")
    reporter.log(f"{pruned.operations:,} of {pruned.operations_before:,} operations remain")
    fetch_checkpoints(claim.job_id, folder)
    training = spec.retraining(original.manifest)
    inputs = TrainingInputs(training, dataset, model.id, smaller.directory, {})
    result = run_trainer(training, inputs, folder, channel, reporter)
    pruning.adopt(result.package, original, claim.spec)
    section = pruning.compare_pruned(original, result.package, pruned, dataset, result.report)
    report: dict[str, Any] = {
        **result.report,
        "pruning": section,
        "notes": [*pruning.summarize(section), *result.report.get("notes", [])],
    }
    register(result.package, claim, parent_id=model.id, report=report, reason=result.reason)


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(prune))
