"""Tabular regression: a number from the measurements of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from ml.metrics import regression
from ml.metrics.gradient_boosting import fit_reference
from ml.tasks._tabular import SLOT, TabularTask
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import RecordInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class TabularRegressionConfig(RegressionTaskConfig):
    """Loss, regularization, and the reference of the report."""

    hidden_fraction: float = Field(
        0.02, ge=0, lt=1, description="Fraction of values that training hides, as if they were missing."
    )
    reference: bool = Field(True, description="Fit gradient boosting too, and report its metrics beside the model's.")


class TabularRegression(RegressionTask, TabularTask):
    """Predicts one number for one record."""

    name = "tabular_regression"
    summary = "Predict a number from the measurements of a row: a price, a yield, a duration"
    columns: ClassVar[Mapping[str, str]] = {SLOT: "record", VALUE: "number"}
    config_type = TabularRegressionConfig

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute RMSE, MAE and R2 in the unit of the target, and the largest errors.

        The baseline predicts the mean of training; `reference` is gradient boosting on the same rows.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
        evaluation.extra["features"] = self.describe_features()
        if train is not None and self.config.reference:
            value = np.asarray(columns[VALUE])
            evaluation.extra["reference"] = fit_reference(
                self.to_table(train),
                np.asarray(train[VALUE]),
                self.to_table(columns),
                classes=None,
                measure=lambda model, features: regression.measure(model.predict(features), value),
            )
        return evaluation

    @classmethod
    def example(cls) -> tuple[RecordInput, regression.RegressionOutput]:
        """Two lengths and a site of a plant, and its yield."""
        return RecordInput.make_example(), regression.RegressionOutput(value=23.5)
