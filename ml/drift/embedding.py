"""Drift of embeddings of many features."""

from __future__ import annotations

from typing import Final

import numpy as np

from ml.drift.base import DriftTest, Values

#: Principal components that are tested; the remaining features are tested together.
MAX_COMPONENTS: Final = 8


class EmbeddingDrift(DriftTest):
    """Sees embeddings move along the main directions of the reference, or leave them."""

    name = "embedding"
    _center: Values
    _components: Values
    _scale: Values

    def fit(self, reference: Values) -> None:
        """Learn the principal components of the reference, and how far it spreads along each."""
        self._center = reference.mean(axis=0)
        _, singular_values, directions = np.linalg.svd(reference - self._center, full_matrices=False)
        count = min(MAX_COMPONENTS, len(singular_values))
        self._components = directions[:count].T
        self._scale = singular_values[:count] / np.sqrt(len(reference)) + 1e-12

    def scores(self, values: Values) -> Values:
        """Return the components, the distance within them, and the distance from their subspace."""
        centered = values - self._center
        projected = centered @ self._components
        residual = np.linalg.norm(centered - projected @ self._components.T, axis=1)
        distance = np.linalg.norm(projected / self._scale, axis=1)
        return np.column_stack([projected, distance, residual])
