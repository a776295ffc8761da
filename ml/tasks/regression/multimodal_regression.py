"""Multimodal regression: a number for a row of several parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ml.metrics import regression
from ml.tasks._multimodal import Dropout, MultimodalConfig, MultimodalTask
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import ImageInput, TextOutput
from ml.wire.multimodal import MultimodalInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation


class MultimodalRegressionConfig(MultimodalConfig, RegressionTaskConfig):
    """Parts, how they are joined, loss and regularization."""

    dropout: Dropout = 0.1


class MultimodalRegressionOutput(regression.RegressionOutput, TextOutput):
    """The predicted number, and how much of a text was read."""


class MultimodalRegression(MultimodalTask, RegressionTask):
    """Predicts one number for one row of several parts."""

    name = "multimodal_regression"
    summary = "Predict a number from a row of several parts: the price of an item from its photo, title and size"
    columns: ClassVar[Mapping[str, str]] = {VALUE: "number"}
    config_type = MultimodalRegressionConfig
    output_type = MultimodalRegressionOutput
    head = "fused_regression"

    def head_config(self) -> dict[str, Any]:
        """Return loss, dropout and fusion."""
        options: dict[str, Any] = self.config.model_dump(include={"loss", "dropout", "fusion", "width"})
        return options

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute the metrics of a regression, and in `parts` those of each part alone.

        `rmse`, `mae` and `r2` are those of the rows that have the part, `rmse_of_all` that of all parts together on
        these rows.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
        value = np.asarray(columns[VALUE])
        joined = self._to_unit(np.asarray(outputs["prediction"]))
        alone_NS = self._to_unit(np.asarray(outputs["part_predictions"]))
        sections = {}
        for index, slot, rows in self.rows_by_part(columns):
            sections[slot] = {
                "rows": len(rows),
                **regression.measure(alone_NS[rows, index], value[rows]),
                "rmse_of_all": regression.measure(joined[rows], value[rows])["rmse"],
            }
        evaluation.extra["parts"] = sections
        return evaluation

    @classmethod
    def example(cls) -> tuple[MultimodalInput, MultimodalRegressionOutput]:
        """A drawn 7 and a sentence, and their value."""
        model_input = MultimodalInput(image=ImageInput.make_example().image, text="A quiet, moving film.")
        return model_input, MultimodalRegressionOutput(value=7.4)
