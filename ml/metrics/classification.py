"""Classification metrics (accuracy, F1, confusion matrix), and codes and outputs of classes.

N rows, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from ml.data.rows import Labels
from ml.errors import DataError
from ml.metrics.abstention import choose_threshold
from ml.metrics.base import Evaluation, Metric, wilson_interval
from ml.metrics.calibration import Calibration, measure_label_sets, measure_reliability, to_probabilities
from ml.wire import Wire

MAX_ERRORS: Final = 20
MAX_LISTED_CLASSES: Final = 5
#: Classes above which the report has no confusion matrix: it would take megabytes.
MAX_CLASSES_IN_MATRIX: Final = 500
#: Coverages for which the report measures sets of labels.
COVERAGES: Final = (0.8, 0.9, 0.95, 0.99)
#: Precisions for which a report measures what a model answers.
PRECISIONS: Final = (0.8, 0.9, 0.95, 0.99)

Loss = Literal["cross_entropy", "mean_squared_error"]

METRICS: Final[Mapping[str, Metric]] = {
    "accuracy": Metric("Fraction of rows whose most probable class is the true one; every row counts once", True),
    "macro_f1": Metric(
        "Mean over the classes of the split of the harmonic mean of precision and recall; every class counts once",
        True,
    ),
    "top5_accuracy": Metric(
        "Fraction of rows whose class is among the five most probable; only with more than five classes", True
    ),
    "loss": Metric("Mean over rows of the training loss, without label smoothing or dropout", False),
}


class ClassificationOutput(Wire):
    """The most probable class, and the probability of every class."""

    label: str
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]
    label_set: list[str] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="With the parameter `conformal`, labels that hold the true one as often as requested, the most "
        "probable first",
    )


def check_classes(task: str, classes: Sequence[str] | None) -> list[str]:
    """Return why a classifier cannot be trained on these classes; empty if it can."""
    if classes is not None and len(classes) >= 2:
        return []
    return [f"{task} needs at least two classes; the dataset has {list(classes or []) or 'none'}"]


def encode_labels(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return int64 [N]: the index of each label in `classes`.

    Raises `DataError` for a label that is not in `classes`.
    """
    code_of = {name: code for code, name in enumerate(classes)}
    try:
        if isinstance(labels, Labels):
            # Each class is looked up once, not once a row; a class that no row uses may be unknown.
            used = np.unique(labels.codes)
            table = np.zeros(len(labels.classes), dtype=np.int64)
            table[used] = [code_of[labels.classes[code]] for code in used]
            return np.asarray(table[labels.codes])
        return np.array([code_of[label] for label in labels], dtype=np.int64)
    except KeyError as error:
        message = f"the model has no class {error}; its classes are {', '.join(classes)}"
        raise DataError(message, hint="Correct the label, or train a model with this class.") from None


def to_outputs(logits: np.ndarray, classes: Sequence[str], *, temperature: float = 1.0) -> list[dict[str, Any]]:
    """Return a `ClassificationOutput` as JSON for each row of float [N, K].

    The label is that of the largest logit, which no temperature changes.
    """
    probabilities = to_probabilities(logits, temperature)
    return [
        {"label": classes[best], "confidence": row[best], "probabilities": dict(zip(classes, row, strict=True))}
        for best, row in zip(logits.argmax(axis=1).tolist(), probabilities.tolist(), strict=True)
    ]


def evaluate(
    logits: np.ndarray,
    label: np.ndarray,
    *,
    classes: Sequence[str],
    loss: Loss,
    train: np.ndarray | None,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Evaluate logits float [N, K] against classes int64 [N].

    `train` holds the class codes of the training split, for the baseline: it predicts for every row the class
    frequencies of training, with add-one smoothing. Confidences are those of `calibration`.
    """
    predictions = _Predictions.of(logits, label, loss=loss, temperature=calibration.temperature if calibration else 1.0)
    metrics = predictions.metrics()
    fractions = [name for name in ("accuracy", "top5_accuracy") if name in metrics]
    return Evaluation(
        metrics=metrics,
        baseline=_baseline(train, label, classes=len(classes), loss=loss) if train is not None else {},
        intervals={name: wilson_interval(metrics[name], len(label)) for name in fractions},
        notes=predictions.notes(classes),
        extra={
            "classes": list(classes),
            "confusion_matrix": predictions.confusion_matrix(),
            "per_class": predictions.per_class(classes),
            **_calibration_sections(logits, predictions, calibration),
            "errors": predictions.errors(classes),
        },
    )


def _calibration_sections(
    logits: np.ndarray, predictions: _Predictions, calibration: Calibration | None
) -> dict[str, Any]:
    """Return `calibration`, and for a calibrated model what it was before, and `conformal`."""
    is_right = predictions.predicted == predictions.label
    section = measure_reliability(predictions.confidence, is_right)
    if calibration is None:
        return {"calibration": section}
    before = measure_reliability(to_probabilities(logits, 1.0).max(axis=1), is_right)
    fitted = {
        "temperature": calibration.temperature,
        "fitted_rows": calibration.rows + calibration.fold_rows,
        "before": before,
    }
    probabilities = to_probabilities(logits, calibration.temperature)
    return {
        "calibration": {**section, **fitted},
        "conformal": measure_label_sets(probabilities, predictions.label, calibration, COVERAGES),
        **_abstention_section(predictions, is_right, calibration),
    }


def _abstention_section(
    predictions: _Predictions, is_right: np.ndarray, calibration: Calibration
) -> dict[str, list[dict[str, float]]]:
    """Return `abstention` for each precision that a threshold of the calibration reaches."""
    sections = []
    for precision in PRECISIONS:
        threshold = choose_threshold(calibration.thresholds, precision)
        if threshold is not None:
            is_answered = predictions.confidence >= threshold
            measured = float(is_right[is_answered].mean()) if is_answered.any() else 1.0
            section = {"precision": precision, "threshold": threshold, "measured": measured}
            sections.append({**section, "coverage": float(is_answered.mean())})
    return {"abstention": sections} if calibration.thresholds else {}


def _baseline(train: np.ndarray, label: np.ndarray, *, classes: int, loss: Loss) -> dict[str, float]:
    counts = np.bincount(train, minlength=classes) + 1
    constant = np.broadcast_to(np.log(counts / counts.sum()), (len(label), classes))
    return _Predictions.of(constant, label, loss=loss).metrics()


@dataclass(frozen=True, slots=True)
class _Predictions:
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    #: Number of classes ranked before the true one.
    rank: np.ndarray
    losses: np.ndarray
    classes: int

    @classmethod
    def of(cls, logits: np.ndarray, label: np.ndarray, *, loss: Loss, temperature: float = 1.0) -> _Predictions:
        true_logit = logits[np.arange(len(label)), label][:, None]
        earlier = np.arange(logits.shape[1]) < label[:, None]
        return cls(
            label=label,
            predicted=logits.argmax(axis=1),
            confidence=to_probabilities(logits, temperature).max(axis=1),
            rank=((logits > true_logit) | ((logits == true_logit) & earlier)).sum(axis=1),
            losses=_losses(logits, label, loss=loss),
            classes=logits.shape[1],
        )

    def metrics(self) -> dict[str, float]:
        _, _, f1, support = self._by_class()
        metrics = {
            "accuracy": float((self.predicted == self.label).mean()),
            "macro_f1": float(f1[support > 0].mean()),
            "loss": float(self.losses.mean()),
        }
        return {**metrics, "top5_accuracy": float((self.rank < 5).mean())} if self.classes > 5 else metrics

    def notes(self, classes: Sequence[str]) -> list[str]:
        """Return which classes macro F1 leaves out, since no row of the split has them.

        scikit-learn counts those of them that were predicted as 0.
        """
        _, _, f1, support = self._by_class()
        absent = np.flatnonzero(support == 0)
        if not len(absent):
            return []
        names = ", ".join(repr(classes[code]) for code in absent[:MAX_LISTED_CLASSES])
        more = f" and {len(absent) - MAX_LISTED_CLASSES} more" if len(absent) > MAX_LISTED_CLASSES else ""
        note = (
            f"macro_f1 leaves out {len(absent)} of {self.classes} classes, which no row of the split has: {names}{more}"
        )
        is_used = (support > 0) | np.isin(np.arange(self.classes), self.predicted)
        if is_used[absent].any():
            note += f"; scikit-learn counts those that were predicted as 0, and gives {f1[is_used].mean():.4g}"
        return [note]

    def confusion_matrix(self) -> list[list[int]] | None:
        """Return counts: rows are true classes, columns are predicted classes."""
        if self.classes > MAX_CLASSES_IN_MATRIX:
            return None
        pairs = np.bincount(self.label * self.classes + self.predicted, minlength=self.classes**2)
        matrix: list[list[int]] = pairs.reshape(self.classes, self.classes).tolist()
        return matrix

    def per_class(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        columns = (column.tolist() for column in self._by_class())
        names = ("label", "precision", "recall", "f1", "support")
        return [dict(zip(names, row, strict=True)) for row in zip(classes, *columns, strict=True)]

    def errors(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the wrong rows with the highest confidence; `index` counts from 0 in the split."""
        wrong = np.flatnonzero(self.predicted != self.label)
        worst = wrong[np.argsort(-self.confidence[wrong], kind="stable")][:MAX_ERRORS]
        return [
            {
                "index": int(index),
                "label": classes[self.label[index]],
                "predicted": classes[self.predicted[index]],
                "confidence": float(self.confidence[index]),
                "loss": float(self.losses[index]),
            }
            for index in worst
        ]

    def _by_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return precision, recall, F1 and support of each class; 0 where the denominator is 0."""
        hits = np.bincount(self.label[self.predicted == self.label], minlength=self.classes)
        support = np.bincount(self.label, minlength=self.classes)
        predicted = np.bincount(self.predicted, minlength=self.classes)
        return _ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, predicted + support), support


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))


def _losses(logits: np.ndarray, label: np.ndarray, *, loss: Loss) -> np.ndarray:
    rows = np.arange(len(label))
    if loss == "cross_entropy":
        highest = logits.max(axis=1).astype(np.float64)
        total = np.log(np.exp(logits.astype(np.float64) - highest[:, None]).sum(axis=1)) + highest
        return np.asarray(total - logits[rows, label])
    probabilities = to_probabilities(logits, 1.0)
    squares = np.square(probabilities).sum(axis=1)
    return np.asarray(squares + 1 - 2 * probabilities[rows, label])
