"""Confident learning (Northcutt, Jiang, Chuang, 2021, arXiv:1911.00068).

A model predicts every row from the others. A row is probably in another class if the probability of that class is at
least the mean probability that rows with this label have for it. N rows, C classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

FOLDS: Final = 4
#: Steps of the optimizer; the model need not converge.
_STEPS: Final = 30


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Rows whose label is probably wrong, the most certain ones first."""

    #: int64 [n].
    rows: np.ndarray
    #: Class that each probably has, int64 [n].
    suggested: np.ndarray
    #: Probability of that class, float [n].
    probability: np.ndarray


def cross_validate(features: Any, labels: np.ndarray, *, inverse_penalty: float) -> np.ndarray:
    """Return probabilities of N rows from models trained on others, float64 [N, C].

    Args:
        features: Dense or sparse matrix [N, F].
        labels: int [N], 0 to C - 1; every class has at least `FOLDS` rows.
        inverse_penalty: Inverse strength of the regularization.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, held_out in folds.split(np.zeros(len(labels)), labels):
        model = LogisticRegression(C=inverse_penalty, max_iter=_STEPS)
        with warnings.catch_warnings(action="ignore"):
            model.fit(features[train], labels[train])
        probabilities[held_out] = model.predict_proba(features[held_out])
    return probabilities


def find_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Find the rows outside the diagonal of the confident joint.

    Args:
        probabilities: float [N, C], predicted without the row itself.
        labels: int [N].
    """
    classes = probabilities.shape[1]
    thresholds = np.array([probabilities[labels == code, code].mean() for code in range(classes)])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    positions = np.arange(len(labels))
    rows = np.flatnonzero((confident[positions, suggested] >= 0) & (suggested != labels))
    margin = probabilities[rows, labels[rows]] - probabilities[rows, suggested[rows]]
    # A row whose own label is the likelier one is not suspicious, however low the other threshold.
    rows = rows[np.argsort(margin, kind="stable")[: int((margin < 0).sum())]]
    return LabelErrors(rows, suggested[rows], probabilities[rows, suggested[rows]])


def explained_fraction(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction by which the model reduces the errors of the largest class."""
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    largest = float(np.bincount(labels).max() / len(labels))
    return (accuracy - largest) / (1 - largest) if largest < 1 else 0.0
