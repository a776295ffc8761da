"""Tabular classification: one class for the measurements of a row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.metrics import classification
from ml.metrics.gradient_boosting import class_log_probabilities, fit_reference
from ml.tasks._tabular import SLOT, TabularTask
from ml.tasks.classification.base import ClassificationConfig, ClassificationTask
from ml.wire import RecordInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class TabularClassificationConfig(ClassificationConfig):
    """Loss, regularization, and the reference of the report."""

    hidden_fraction: float = Field(
        0.02, ge=0, lt=1, description="Fraction of values that training hides, as if they were missing."
    )
    reference: bool = Field(True, description="Fit gradient boosting too, and report its metrics beside the model's.")


class TabularClassification(ClassificationTask, TabularTask):
    """Predicts one class for one record."""

    name = "tabular_classification"
    summary = "Assign the measurements of a row to one of the classes of the training data"
    columns: ClassVar[Mapping[str, str]] = {SLOT: "record", "label": "label"}
    config_type = TabularClassificationConfig

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training; `reference` is gradient boosting on the same rows.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
        evaluation.extra["features"] = self.describe_features()
        if train is not None and self.config.reference:
            evaluation.extra["reference"] = fit_reference(
                self.to_table(train),
                np.asarray(train["label"]),
                self.to_table(columns),
                classes=len(self.labels),
                measure=partial(self._measure_reference, label=np.asarray(columns["label"])),
            )
        return evaluation

    def _measure_reference(self, model: Any, features: np.ndarray, *, label: np.ndarray) -> dict[str, float]:
        log_probabilities = class_log_probabilities(model, features, len(self.labels))
        options = {"classes": self.labels, "loss": self.config.loss}
        return classification.evaluate(log_probabilities, label, **options, train=None).metrics

    @classmethod
    def example(cls) -> tuple[RecordInput, classification.ClassificationOutput]:
        """Two lengths and a site of a plant."""
        probabilities = {"setosa": 0.97, "virginica": 0.03}
        output = classification.ClassificationOutput(label="setosa", confidence=0.97, probabilities=probabilities)
        return RecordInput.make_example(), output
