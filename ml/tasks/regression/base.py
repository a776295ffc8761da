"""Base class of the tasks that predict one number for a row of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import regression
from ml.tasks.base import Output, Task

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation
    from ml.signals import Arrays

#: Canonical column of the target.
VALUE: Final = "value"


class RegressionTaskConfig(Config):
    """Loss and regularization of the head `regression`."""

    loss: Literal["mse", "huber"] = Field(
        "mse",
        description="`mse`: squared error. `huber`: the absolute error beyond one standard deviation, so that outliers "
        "count less (Huber 1964).",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")


class RegressionTask(Task):
    """Predicts one number, in the unit of the column `value`; training sees it normalized."""

    head = "regression"
    output_type = regression.RegressionOutput
    metrics = regression.METRICS
    #: Column of the target.
    target: ClassVar[str] = VALUE

    @classmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return mean and standard deviation of the target, by which it is normalized."""
        values = np.array(list(rows.columns[VALUE]), dtype=np.float64)
        return {"mean": float(values.mean()), "deviation": float(values.std()) or 1.0}

    def head_config(self) -> dict[str, Any]:
        """Return the loss and the dropout."""
        options: dict[str, Any] = self.config.model_dump(include=set(RegressionTaskConfig.model_fields))
        return options

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode the columns that have an encoder.

        With targets, `value` is float64 [N] and `normalized_value` float32 [N].
        """
        columns = super().encode(rows)
        if VALUE in rows.columns:
            value = np.array(list(rows.columns[VALUE]), dtype=np.float64)
            normalized = (value - self.state["mean"]) / self.state["deviation"]
            columns |= {VALUE: value, "normalized_value": normalized.astype(np.float32)}
        return columns

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `prediction` float [B], in standard deviations of the target."""
        return [{VALUE: value} for value in self._to_unit(arrays["prediction"]).tolist()]

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute RMSE, MAE and R2 in the unit of the target, and the largest errors.

        The baseline predicts the mean of training.
        """
        train_value = np.asarray(train[VALUE]) if train is not None else None
        predicted = self._to_unit(np.asarray(outputs["prediction"]))
        return regression.evaluate(predicted, np.asarray(columns[VALUE]), train=train_value)

    def _to_unit(self, normalized: np.ndarray) -> np.ndarray:
        return np.asarray(normalized.astype(np.float64) * self.state["deviation"] + self.state["mean"])
