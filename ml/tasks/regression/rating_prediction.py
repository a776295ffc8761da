"""Rating prediction: the rating that a user would give an item."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.data.cell_values import WORD, is_id_name
from ml.encoders.record import detected_kinds
from ml.metrics import regression
from ml.metrics.biases import Biases
from ml.tasks._tabular import SLOT, TabularTask
from ml.tasks.regression.base import VALUE, RegressionTask, RegressionTaskConfig
from ml.wire import RecordInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.cell_values import ColumnKind
    from ml.data.dataset import DatasetSummary
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation

#: Words, in lower case, by which the last word of a name says that its numbers name something and measure nothing.
ID_WORD: Final = re.compile(
    r"user|customer|reviewer|member|item|movie|film|book|product|song|track|artist|game|place|business|asin|isbn|sku"
)
#: Names of columns that a request lacks: when a rating was given.
TIME_NAME: Final = re.compile(r"time|timestamp|ts|date|datetime|unixtime|reviewtime|createdat")
#: Users and items that have a vector of their own, the most frequent ones.
MAX_CATEGORIES: Final = 65_536


class RatingPredictionConfig(RegressionTaskConfig):
    """Loss and regularization."""

    hidden_fraction: float = Field(
        0.02, ge=0, lt=1, description="Fraction of users and items that training hides, as if they were unknown."
    )


class RatingPrediction(RegressionTask, TabularTask):
    """Predicts the rating of a user for an item.

    Both are known by their ids; further columns may describe them.
    """

    name = "rating_prediction"
    summary = "Predict the rating that a user would give an item, from a table of users, items and ratings"
    columns: ClassVar[Mapping[str, str]] = {SLOT: "record", VALUE: "number"}
    config_type = RatingPredictionConfig
    #: Ratings of one user are in all splits: the user is what is learned.
    separates_subjects: ClassVar[bool] = False

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are users or items."""
        kinds = detected_kinds(summary)
        reasons = super().check_dataset(summary)
        if kinds and not any(_choose_kind(name, kind) == "category" for name, kind in kinds.items()):
            message = f"{cls.name} needs columns of users and items, such as userId and itemId; the dataset has "
            reasons.append(message + (", ".join(kinds) or "none"))
        return reasons

    @classmethod
    def encoder_options(cls, summary: DatasetSummary) -> Mapping[str, Mapping[str, Any]]:
        """Read ids as categories, and leave out times."""
        options = dict(super().encoder_options(summary).get(SLOT, {}))
        detected = {name: _choose_kind(name, kind) for name, kind in options.get("detected_kinds", {}).items()}
        return {SLOT: {**options, "detected_kinds": detected, "max_categories": MAX_CATEGORIES}}

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute RMSE, MAE and R2 in the unit of the ratings, and the largest errors.

        The baseline predicts the mean of training; `reference` adds a bias for each user and each item.
        """
        evaluation = super().evaluate(outputs, columns, train=train)
        evaluation.extra["features"] = self.describe_features()
        if train is not None:
            biases = Biases(self.to_table(train).codes, np.asarray(train[VALUE]))
            metrics = regression.measure(biases.predict(self.to_table(columns).codes), np.asarray(columns[VALUE]))
            evaluation.extra["reference"] = biases.describe(metrics, rows=len(train[VALUE]))
        return evaluation

    @classmethod
    def example(cls) -> tuple[RecordInput, regression.RegressionOutput]:
        """A user and an item, and the rating."""
        return RecordInput.make_example(), regression.RegressionOutput(value=4.1)


def _choose_kind(name: str, detected: ColumnKind) -> ColumnKind:
    words = [word.lower() for word in WORD.findall(name)]
    if TIME_NAME.fullmatch("".join(words)):
        return "omitted"
    is_id = bool(words) and (is_id_name(name) or ID_WORD.fullmatch(words[-1]) is not None)
    return "category" if is_id else detected
