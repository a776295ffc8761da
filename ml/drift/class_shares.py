"""Drift of the fractions of predicted classes."""

from __future__ import annotations

import numpy as np

from ml.drift.base import DriftTest, Values


class ClassShareDrift(DriftTest):
    """Sees classes become more or less frequent, new ones too.

    Values are class numbers in one column.
    """

    name = "class_shares"
    _classes: Values

    def fit(self, reference: Values) -> None:
        """Learn which classes there are."""
        self._classes = np.unique(reference)

    def scores(self, values: Values) -> Values:
        """Return a column for each class of the reference, and one for all others."""
        is_class = values == self._classes
        return np.column_stack([is_class, ~is_class.any(axis=1)]).astype(np.float64)
