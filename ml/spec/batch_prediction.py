"""Prediction of all rows of a dataset: the request, and its check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from ml.config import Config
from ml.data.derivation.operations import Split
from ml.errors import Finding, unknown
from ml.metrics.calibration import CONFORMAL
from ml.spec.evaluation import check_encoders
from ml.tasks import TASKS

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.package.manifest import Manifest


PredictionFormat = TypeAliasType("PredictionFormat", Literal["jsonl", "parquet"])


class BatchPredict(Config):
    """Prediction of every row of a dataset, in order, to one file."""

    kind: Literal["batch_predict"]
    model: str = Field(max_length=200, description="`name`, `name@3` or `name@alias`.")
    dataset: str = Field(
        max_length=200,
        description="Dataset: its id, `name` (latest version) or `name@2`. It needs the columns that the model reads; "
        "labels are not needed.",
    )
    split: Split | None = Field(
        None, description="Only the rows of this split; default: those of train, validation and test, in this order."
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="As in `/predict`: fields of every input.")
    format: PredictionFormat = Field("jsonl", description="Format of the file.")


def check_batch_prediction(spec: BatchPredict, manifest: Manifest, summary: DatasetSummary | None) -> list[Finding]:
    """Return why a model cannot predict the rows of a dataset; empty if it can.

    Without a summary nothing is checked, as the dataset is not ready yet.
    """
    if summary is None:
        return []
    if manifest.task is None and len(manifest.architectures) > 1:
        message = f"{spec.model} has several backbones, and no task that says which one reads a row"
        return [Finding(code="does_not_fit", path="model", message=message, hint="Name a model that was fine-tuned.")]
    findings = [
        *_missing_inputs(manifest, summary),
        *check_encoders(manifest, summary),
        *_unknown_parameters(spec, manifest),
    ]
    if spec.split is not None and not summary.splits.get(spec.split):
        with_rows = [name for name, count in summary.splits.items() if count]
        findings.append(unknown("split with rows", spec.split, with_rows, path="split"))
    return findings


def _unknown_parameters(spec: BatchPredict, manifest: Manifest) -> list[Finding]:
    """Report parameters that no input of the task has.

    Fields that come from the data are checked by the job.
    """
    fields = TASKS[manifest.task.name].input_type.model_fields if manifest.task else {}
    if not fields:
        return []
    names = ("return", CONFORMAL, *fields)
    return [
        unknown("parameter", name, names, path=f"parameters.{name}") for name in spec.parameters if name not in names
    ]


def _missing_inputs(manifest: Manifest, summary: DatasetSummary) -> list[Finding]:
    """Report the columns that the model reads and the dataset lacks."""
    required: dict[str, str | None]
    if manifest.task is None:
        required = dict.fromkeys(manifest.architectures)
    else:
        task = TASKS[manifest.task.name]
        columns = (task.encoded_columns[slot] for slot in task.slots if slot in task.encoded_columns)
        required = {column: task.columns.get(column) for column in columns if column not in task.optional_columns}
        optional = {slot: task.optional_columns[slot] for slot in manifest.encoders if slot in task.optional_columns}
        if optional and not optional.items() & summary.columns.items():
            required = dict(optional)
    present = ", ".join(f"{name} ({column_type})" for name, column_type in summary.columns.items())
    return [
        Finding(
            code="unfit_dataset",
            path="dataset",
            message=f"the model reads a column {column!r}" + (f" of type {column_type}" if column_type else ""),
            expected=column,
            found=present,
            hint="Upload data with the columns that the model was trained on; labels are not needed.",
        )
        for column, column_type in required.items()
        if column not in summary.columns or column_type not in (None, summary.columns[column])
    ]
