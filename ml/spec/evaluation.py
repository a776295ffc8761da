"""Evaluation of a model on a dataset: the request, and its check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ml.config import Config
from ml.data.derivation.operations import Split
from ml.encoders import ENCODERS
from ml.errors import Finding, UnknownName, shorten, unknown
from ml.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest

#: Splits that are evaluated if the request names none, in this order.
DEFAULT_SPLITS = ("test", "validation", "train")
#: Labels that a message lists.
MAX_LISTED_LABELS = 5


class Evaluate(Config):
    """Evaluation of a version of a model on a version of a dataset."""

    kind: Literal["evaluate"]
    model: str = Field(max_length=200, description="`name`, `name@3` or `name@alias`.")
    dataset: str = Field(
        max_length=200,
        description="Dataset: its id, `name` (latest version) or `name@2`. It needs the columns of the task, and no "
        "label that the model does not know.",
    )
    split: Split | None = Field(
        None, description="Split whose rows are evaluated; default: test, or the first that has rows."
    )
    robustness: bool = Field(
        False,
        description="Whether corrupted and attacked rows are evaluated, too; it takes some twenty times as long for up "
        "to 300 rows.",
    )


def choose_split(spec: Evaluate, summary: DatasetSummary) -> str:
    """Return the split of the request, or the default."""
    if spec.split is not None:
        return spec.split
    return next((split for split in DEFAULT_SPLITS if summary.splits.get(split)), DEFAULT_SPLITS[0])


def check_evaluation(spec: Evaluate, manifest: Manifest, summary: DatasetSummary | None) -> list[Finding]:
    """Return why a model cannot be evaluated on a dataset; empty if it can.

    Without a summary only the model is checked, as the dataset is not ready yet.
    """
    if manifest.task is None:
        message = f"{spec.model} is a base model, which predicts nothing that could be evaluated"
        hint = "Evaluate a model that was fine-tuned from it."
        return [Finding(code="does_not_fit", path="model", message=message, hint=hint)]
    if summary is None:
        return []
    reasons = TASKS[manifest.task.name].missing_columns(summary)
    missing = [Finding(code="unfit_dataset", path="dataset", message=reason) for reason in reasons]
    return [*missing, *check_encoders(manifest, summary), *_check_split(spec, manifest, summary)]


def check_encoders(manifest: Manifest, summary: DatasetSummary) -> Iterator[Finding]:
    """Yield what the encoders of a model would lose of a dataset."""
    for slot, choice in manifest.encoders.items():
        try:
            encoder = ENCODERS[choice.name]
        except UnknownName as error:
            yield Finding(code="unknown_name", path="model", message=error.message, hint="Update Plinth.")
            continue
        if (loss := encoder.data_loss(encoder.config_type.model_validate(choice.config), summary)) is not None:
            hint = "Use data like those that the model was trained on."
            yield Finding(code="does_not_fit", path="dataset", message=f"the model {loss} ({slot})", hint=hint)


def _check_split(spec: Evaluate, manifest: Manifest, summary: DatasetSummary) -> list[Finding]:
    split = choose_split(spec, summary)
    if not summary.splits.get(split):
        with_rows = [name for name, count in summary.splits.items() if count]
        return [unknown("split with rows", split, with_rows, path="split")]
    if manifest.labels is None:
        return []
    labels = [label for label, count in summary.class_counts.get(split, {}).items() if count]
    strange = [label for label in labels if label not in manifest.labels]
    if not strange:
        return []
    shown = ", ".join(shorten(label) for label in strange[:MAX_LISTED_LABELS])
    more = f" and {len(strange) - MAX_LISTED_LABELS} more" if len(strange) > MAX_LISTED_LABELS else ""
    expected = ", ".join(manifest.labels[:MAX_LISTED_LABELS]) + (
        ", ..." if len(manifest.labels) > MAX_LISTED_LABELS else ""
    )
    return [
        Finding(
            code="does_not_fit",
            path="dataset",
            message=f"the model does not know labels of the {split} split: {shown}{more}",
            expected=expected,
            hint="Rename or leave out these classes: `plinth datasets derive`.",
        )
    ]
