"""Tabular regression: a number from the measurements of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import regression
from ml.metrics.gradient_boosting import fit_reference
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


class TabularRegressionConfig(Config):
    """Regularization, and the reference of the report."""

    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
    hidden_fraction: float = Field(
        0.02, ge=0, lt=1, description="Fraction of values that training hides, as if they were missing."
    )
    reference: bool = Field(True, description="Fit gradient boosting too, and report its metrics beside the model's.")


class TabularRegression(TabularTask):
    """Predicts one number for one record."""

    name = "tabular_regression"
    summary = "Predict a number from the measurements of a row: a price, a yield, a duration"
    columns: ClassVar[Mapping[str, str]] = {SLOT: "record", "value": "number"}
    head = "regression"
    config_type = TabularRegressionConfig
    output_type = regression.RegressionOutput
    metrics = regression.METRICS

    @classmethod
    def learn(cls, config: TabularRegressionConfig, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return mean and standard deviation of the target, by which it is normalized."""
        values = np.array(list(rows.columns["value"]), dtype=np.float64)
        return {"mean": float(values.mean()), "deviation": float(values.std()) or 1.0}

    def head_config(self) -> dict[str, Any]:
        """Return the dropout."""
        return {"dropout": self.config.dropout}

    @classmethod
    def to_input_and_target(cls, row: Row) -> tuple[RecordInput, float | None]:
        """Return the record, and the number."""
        return RecordInput.model_validate(row[SLOT]), row.get("value")

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Return `features` float32 [N, W].

        With targets, `value` is float64 [N] and `normalized_value` float32 [N].
        """
        columns = super().encode(rows)
        if "value" in rows.columns:
            value = np.array(list(rows.columns["value"]), dtype=np.float64)
            normalized = (value - self.state["mean"]) / self.state["deviation"]
            columns |= {"value": value, "normalized_value": normalized.astype(np.float32)}
        return columns

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `prediction` float [B], in standard deviations of the target."""
        return [{"value": value} for value in self._to_unit(arrays["prediction"]).tolist()]

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute RMSE, MAE and R2 in the unit of the target, and the largest errors.

        The baseline predicts the mean of training; `reference` is gradient boosting on the same rows.
        """
        value = np.asarray(columns["value"])
        train_value = np.asarray(train["value"]) if train is not None else None
        evaluation = regression.evaluate(self._to_unit(np.asarray(outputs["prediction"])), value, train=train_value)
        evaluation.extra["features"] = self.describe_features()
        if train is not None and train_value is not None and self.config.reference:
            evaluation.extra["reference"] = fit_reference(
                self.to_table(train),
                train_value,
                self.to_table(columns),
                classes=None,
                measure=lambda model, features: regression.measure(model.predict(features), value),
            )
        return evaluation

    def _to_unit(self, normalized: np.ndarray) -> np.ndarray:
        return np.asarray(normalized.astype(np.float64) * self.state["deviation"] + self.state["mean"])

    @classmethod
    def example(cls) -> tuple[RecordInput, regression.RegressionOutput]:
        """Two lengths and a site of a plant, and its yield."""
        return RecordInput.make_example(), regression.RegressionOutput(value=23.5)
