"""Similarity of embeddings, for the protocols that compare texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def cosine_similarities(vector: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the cosine similarity of each row to a vector, 0 for zeros."""
    reference, matrix = np.asarray(vector), np.asarray(rows)
    norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(reference)
    products = matrix @ reference
    return list(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0).tolist())


def to_relevance(similarity: float) -> float:
    """Return a cosine similarity as a score from 0 to 1, which is no probability."""
    return (1 + similarity) / 2
