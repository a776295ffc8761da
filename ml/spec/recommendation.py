"""Recommendation of base models for a dataset: the request, and its check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml.config import Choice, Config, Named
from ml.errors import Finding, unknown
from ml.spec.check import check
from ml.spec.schema import Finetune
from ml.tasks import TASKS

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest
    from ml.spec.catalog import Catalog

#: Newest base models that are tried.
MAX_BASES = 20


class BasesRequest(Config):
    """Dataset and task that base models are compared for."""

    dataset: str = Field(
        max_length=200, description="Dataset: its id, `name` (latest version) or `name@2`. It must be ready."
    )
    task: Named | None = Field(None, description="Task with one class for each row; default: that of the dataset.")
    bases: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_BASES,
        description=f"Models to compare; default: the {MAX_BASES} newest base models that fit.",
    )


class Recommend(BasesRequest):
    """Comparison of base models by a linear classifier on their frozen features."""

    kind: Literal["recommend"]


def check_recommendation(spec: BasesRequest, catalog: Catalog, summary: DatasetSummary) -> list[Finding]:
    """Return why no base model can be recommended; empty if some might."""
    classifiers = [name for name, task in TASKS.items() if task.is_calibrated]
    name = spec.task.name if spec.task else summary.task
    if name is None:
        message = "neither the request nor the dataset names a task"
        return [Finding(code="missing", path="task", message=message, expected=", ".join(classifiers))]
    if name not in catalog.tasks:
        return [unknown("task", name, catalog.tasks, path="task")]
    if name not in classifiers:
        message = f"{name} has no single class for each row, which the linear classifier of the probe predicts"
        hint = "Train it from each base model for a few steps instead."
        return [Finding(code="does_not_fit", path="task", message=message, expected=", ".join(classifiers), hint=hint)]
    reasons = TASKS[name].check_dataset(summary)
    return [Finding(code="unfit_dataset", path="dataset", message=reason) for reason in reasons]


def check_base(
    spec: BasesRequest, reference: str, catalog: Catalog, manifest: Manifest, summary: DatasetSummary
) -> list[Finding]:
    """Return why a fine-tuning for the task could not start from a model."""
    task = spec.task or Choice(name=summary.task or "")
    slots = catalog.tasks[task.name].slots
    if manifest.encoders.keys().isdisjoint(slots):
        message = f"{reference} reads {', '.join(manifest.encoders) or 'nothing'}, {task.name} reads {', '.join(slots)}"
        hint = f"Name base models that read {' or '.join(slots)}."
        return [Finding(code="does_not_fit", path="bases", message=message, hint=hint)]
    finetune = Finetune.model_validate(
        {"kind": "finetune", "dataset": spec.dataset, "task": task, "start_from": reference, "model": "probe"}
    )
    return check(finetune, catalog, summary, manifest)
