"""Drift of input statistics and embeddings."""

from __future__ import annotations

import numpy as np

from ml.drift.base import DriftTest, Values


class FeatureDrift(DriftTest):
    """Sees any feature of a row move, spread or narrow."""

    name = "features"
    _center: Values
    _scale: Values

    def fit(self, reference: Values) -> None:
        """Learn the center and the spread of each feature."""
        self._center = np.median(reference, axis=0)
        self._scale = reference.std(axis=0) + 1e-12

    def scores(self, values: Values) -> Values:
        """Return each feature, and the distance of all of them from the center."""
        distance = np.linalg.norm((values - self._center) / self._scale, axis=1)
        return np.column_stack([values, distance])
