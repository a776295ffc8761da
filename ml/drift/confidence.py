"""Drift of the confidence of predictions."""

from __future__ import annotations

from ml.drift.base import DriftTest, Values


class ConfidenceDrift(DriftTest):
    """Sees predictions become less, or more, sure; values have one column."""

    name = "confidence"

    def fit(self, reference: Values) -> None:
        """Learn nothing: confidences are scores."""

    def scores(self, values: Values) -> Values:
        """Return the confidences."""
        return values
