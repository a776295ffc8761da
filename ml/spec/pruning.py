"""Pruning of a model: the request, its check, and the training after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml.config import Config
from ml.errors import Finding
from ml.schedule import Schedule
from ml.spec.check import check
from ml.spec.schema import MODEL_NAME, START_FROM, Finetune

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest
    from ml.spec.catalog import Catalog


class Prune(Config):
    """Removal of channels, heads and hidden units of a model, and training of what remains."""

    kind: Literal["prune"]
    model: str = Field(max_length=200, description="`name`, `name@3` or `name@alias`.")
    dataset: str = Field(
        max_length=200,
        description="Dataset to judge units by and to train on: its id, `name` (latest version) or `name@2`.",
    )
    operations: float = Field(0.25, ge=0.01, le=0.95, description="Fraction of the model's operations that remains.")
    schedule: Schedule = Field(Schedule(), description="Schedule of the training after the pruning.")
    seed: int = Field(0, ge=0, lt=2**32)
    result: str | None = Field(
        None,
        pattern=MODEL_NAME,
        description="Name under which the smaller model is registered; by default that of the model with `-pruned`.",
    )
    allow_noncommercial: bool | None = Field(
        None,
        description="With false, data or models whose license excludes commercial use are refused; null means the "
        "setting of the service.",
    )

    @property
    def result_name(self) -> str:
        """Name under which the smaller model is registered."""
        return self.result or f"{self.model.partition('@')[0][:92]}-pruned"

    def retraining(self, manifest: Manifest) -> Finetune:
        """Return the fine-tuning that follows, of a model with a task."""
        return Finetune.model_validate(
            {
                "kind": "finetune",
                "dataset": self.dataset,
                "task": manifest.task,
                "start_from": self.model,
                "schedule": self.schedule,
                "seed": self.seed,
                "model": self.result_name,
            }
        )


def check_pruning(spec: Prune, catalog: Catalog, manifest: Manifest, summary: DatasetSummary | None) -> list[Finding]:
    """Return why a model cannot be pruned; empty if it can.

    Without a summary only the model is checked, as the dataset is not ready yet.
    """
    if manifest.task is None:
        message = f"{spec.model} is a base model, which has no loss by which units could be judged"
        return [Finding(code="does_not_fit", path="model", message=message, hint="Prune a fine-tuned model.")]
    if not manifest.architectures:
        message = f"{spec.model} is an ONNX graph without weights, which cannot be pruned"
        hint = "Name a model that was trained here or imported with its weights."
        return [Finding(code="does_not_fit", path="model", message=message, hint=hint)]
    names = [choice.name for choice in manifest.architectures.values()]
    prunable = [name for name, entry in catalog.architectures.items() if entry.prunable]
    if not any(name in prunable for name in names):
        message = f"{', '.join(names)} cannot be pruned: all of its widths are those of its features"
        hint = "Train a smaller preset instead."
        return [Finding(code="does_not_fit", path="model", message=message, expected=", ".join(prunable), hint=hint)]
    findings = check(spec.retraining(manifest), catalog, summary, manifest)
    return [replace(item, path="model") if item.path == START_FROM else item for item in findings]
