"""Choice of the rows that are most useful to label: uncertain, and unlike each other."""

from __future__ import annotations

import numpy as np


def choose_candidates(vectors: np.ndarray, confidences: np.ndarray, *, count: int) -> list[int]:
    """Return the positions of `count` rows, the most useful first.

    The first is the least confident one. Each next one has the largest product of uncertainty and distance to those
    before it, so that copies of one hard row are not all listed (k-center greedy of Sener and Savarese 2018,
    arXiv:1708.00489, weighted).

    Args:
        vectors: Embeddings or statistics, float [N, D].
        confidences: Probabilities of the predicted classes, float [N].
        count: Number of rows; fewer if there are not as many.
    """
    spread = vectors.std(axis=0)
    points = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # A sure row is worth a little, so that a row unlike all others is listed even then.
    uncertainty = 1.0 - np.clip(confidences, 0.0, 1.0) + 0.01
    chosen: list[int] = []
    distance = np.full(len(points), np.inf)
    for _ in range(min(count, len(points))):
        worth = uncertainty if not chosen else uncertainty * distance
        worth = np.where(np.isin(np.arange(len(points)), chosen), -1.0, worth)
        best = int(worth.argmax())
        chosen.append(best)
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
    return chosen
