"""Base class of the tasks that choose one class for a row of any kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from ml.config import Config
from ml.metrics import classification
from ml.metrics.calibration import CALIBRATION, Calibration, to_probabilities
from ml.metrics.class_weights import ClassWeight, class_weights, count_classes, describe
from ml.tasks.base import Output, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.metrics.base import Evaluation
    from ml.signals import Arrays

#: Key of the state that has the weights of the classes, and option of the head.
CLASS_WEIGHTS: Final = "class_weights"

Dropout = Annotated[
    float, Field(ge=0, lt=1, description="Fraction of features that training sets to zero in each step.")
]


class ClassificationConfig(Config):
    """Loss and regularization of the head `classifier`."""

    loss: classification.Loss = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Fraction of the target probability that is spread over all classes."
    )
    dropout: Dropout = 0.0
    class_weight: ClassWeight = Field(
        "auto",
        description="Weight of the rows of each class in the loss. `balanced`: all classes count the same, however "
        "rare. `auto`: half way to that, by the root of the inverse frequency, where a class has a tenth of the rows "
        "of the largest or fewer. `none`: all rows count the same.",
    )


class ClassificationTask(Task):
    """Predicts one class, with calibrated probabilities; the column `label` has the true one."""

    head = "classifier"
    output_type = classification.ClassificationOutput
    metrics = classification.METRICS
    is_calibrated = True
    #: Column of the target.
    target: ClassVar[str] = "label"

    @classmethod
    def learn(cls, config: Any, summary: DatasetSummary, rows: Rows) -> dict[str, Any]:
        """Return the names of the classes, in natural order, and the weights of rare ones."""
        counts = count_classes(rows.columns["label"], summary.classes or [])
        weights = class_weights(config.class_weight, counts)
        return {"labels": summary.classes, **({CLASS_WEIGHTS: weights} if weights else {})}

    @classmethod
    def check_dataset(cls, summary: DatasetSummary) -> list[str]:
        """Check the columns, the row counts, and that there are at least two classes."""
        return super().check_dataset(summary) + classification.check_classes(cls.name, summary.classes)

    def head_config(self) -> dict[str, Any]:
        """Return the number of classes and their weights, the loss and the dropout."""
        options = self.config.model_dump(include=set(ClassificationConfig.model_fields) - {"class_weight"})
        weights = self.state.get(CLASS_WEIGHTS)
        return {"classes": len(self.labels), **options, **({CLASS_WEIGHTS: weights} if weights else {})}

    def encode(self, rows: Rows) -> dict[str, Column]:
        """Encode the columns that have an encoder and, with labels, `label` int64 [N]."""
        columns = super().encode(rows)
        if "label" in rows.columns:
            columns["label"] = classification.encode_labels(rows.columns["label"], self.labels)
        return columns

    def decode(self, arrays: Arrays) -> list[Output]:
        """Decode `logits` float [B, classes]."""
        calibration = self.calibration
        temperature = calibration.temperature if calibration else 1.0
        return classification.to_outputs(arrays["logits"], self.labels, temperature=temperature)

    @property
    def calibration(self) -> Calibration | None:
        """The temperature and the scores of validation rows; None for an older package."""
        return Calibration.of_state(self.state)

    def calibrate(
        self,
        outputs: Mapping[str, Column],
        columns: Mapping[str, Column],
        *,
        folds: Sequence[tuple[Mapping[str, Column], Mapping[str, Column]]] = (),
    ) -> None:
        """Fit the temperature to validation rows, and store their scores for sets of labels.

        It is fitted to the rows of `folds`, too, with the outputs of networks that were not trained on them. All of
        these rows say above which confidence answers are right how often.
        """
        # Imported here: only training has what it needs.
        from ml.metrics.abstention import measure_thresholds
        from ml.metrics.temperature import fit_temperature

        logits, label = np.asarray(outputs["logits"]), np.asarray(columns["label"])
        all_logits = np.concatenate([logits, *(np.asarray(fold["logits"]) for fold, _ in folds)])
        all_labels = np.concatenate([label, *(np.asarray(rows["label"]) for _, rows in folds)])
        if len(label) and np.isfinite(all_logits).all():
            temperature, fold_rows = fit_temperature(all_logits, all_labels), len(all_labels) - len(label)
            measured = Calibration.measure(logits, label, temperature=temperature, fold_rows=fold_rows)
            confidence = to_probabilities(all_logits, temperature).max(axis=1)
            thresholds = measure_thresholds(confidence, all_logits.argmax(axis=1) == all_labels)
            self.state[CALIBRATION] = replace(measured, thresholds=thresholds).to_json()

    def evaluate(
        self, outputs: dict[str, Column], columns: dict[str, Column], *, train: dict[str, Column] | None
    ) -> Evaluation:
        """Compute metrics, confusion matrix, calibration, metrics per class and the worst errors.

        The baseline predicts the class frequencies of training.
        """
        evaluation = classification.evaluate(
            np.asarray(outputs["logits"]),
            np.asarray(columns["label"]),
            classes=self.labels,
            loss=self.config.loss,
            train=np.asarray(train["label"]) if train is not None else None,
            calibration=self.calibration,
        )
        if weights := self.state.get(CLASS_WEIGHTS):
            evaluation.notes.append(describe(weights, self.labels))
        return evaluation
