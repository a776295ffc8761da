"""Tabular classification: one class for the measurements of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import classification
from ml.metrics.gradient_boosting import class_log_probabilities, fit_reference
from ml.tasks._tabular import SLOT, TabularTask
from ml.wire import RecordInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Row, Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation
    from ml.signals import Arrays
    from ml.tasks.base import Output


class TabularClassificationConfig(Config):
    """Loss, regularization, and the reference of the report."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all classes."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    hidden_fraction: float = Field(
        0.02, ge=0, lt=1, description="Fraction of values that training hides, as if they were missing."
    )
    reference: bool = Field(True, description="Fit gradient boosting too, and report its metrics beside the model's.")


class TabularClassification(TabularTask):
    """Predicts one class for one record."""

    name = "tabular_classification"
    summary = "Assign the measurements of a row to one of the classes of the training data"
    columns: ClassVar[Mapping[str, str]] = {SLOT: "record", "label": "label"}
    head = "classifier"
    config_type = TabularClassificationConfig
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS

    @classmethod
    def learn(cls, config: TabularClassificationConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order."""
        return {"labels": summary.classes}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are at least two classes."""
        return super().check_dataset(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes, the loss and the dropout."""
        options = self.config.model_dump(include={"loss", "label_smoothing", "dropout"})
        return {"classes": len(self.labels), **options}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[RecordInput, str | None]:
        """Return the record, and the label."""
        return RecordInput.model_validate(row[SLOT]), row.get("label")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `features` float32 [N, W] and, with labels, `label` int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, classes]."""
        return classification.to_outputs(arrays["logits"], self.labels)

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training; `reference` is gradient boosting on the same rows.
        """
        label, options = np.asarray(columns["label"]), {"classes": self.labels, "loss": self.config.loss}
        train_label = np.asarray(train["label"]) if train is not None else None
        evaluation = classification.evaluate(np.asarray(outputs["logits"]), label, **options, train=train_label)
        evaluation.extra["features"] = self.describe_features()
        if train is not None and train_label is not None and self.config.reference:
            evaluation.extra["reference"] = fit_reference(
                self.to_table(train),
                train_label,
                self.to_table(columns),
                classes=len(self.labels),
                measure=lambda model, features: (
                    classification.evaluate(
                        class_log_probabilities(model, features, len(self.labels)), label, **options, train=None
                    ).metrics
                ),
            )
        return evaluation

    @classmethod
    def example(cls) -> tuple[RecordInput, classification.ClassificationOutput]:
        """Two lengths and a site of a plant."""
        probabilities = {"setosa": 0.97, "virginica": 0.03}
        output = classification.ClassificationOutput(label="setosa", confidence=0.97, probabilities=probabilities)
        return RecordInput.make_example(), output
