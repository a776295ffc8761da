"""Sum of biases, the usual reference for ratings.

It is the mean, plus a bias of each user and of each item.

N rows, C columns.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

#: Rows of no bias that are added to each category, so that one seen once is not believed.
DAMPING: Final = 5.0
#: Passes over the columns; the biases of two columns change by less than a thousandth after fewer.
PASSES: Final = 10


class Biases:
    """The mean of the target, and a bias for each category of each column.

    Source: Koren, Bell and Volinsky 2009, Matrix factorization techniques for recommender systems, equation 3. It is
    fitted by damped means in turns.
    """

    def __init__(self, codes_NC: np.ndarray, target_N: np.ndarray) -> None:
        """Fit to rows with codes, int64 [N, C], and a target, float [N]."""
        self.mean = float(target_N.mean())
        self.biases = [np.zeros(int(codes.max(initial=0)) + 1) for codes in codes_NC.T]
        for _ in range(PASSES):
            for column, codes in enumerate(codes_NC.T):
                rest_N = target_N - self.predict(codes_NC) + self.biases[column][codes]
                counts = np.bincount(codes, minlength=len(self.biases[column]))
                sums = np.bincount(codes, weights=rest_N, minlength=len(counts))
                self.biases[column] = sums / (counts + DAMPING)

    def predict(self, codes_NC: np.ndarray) -> np.ndarray:
        """Predict float64 [N] for codes, int64 [N, C].

        A category without training rows has no bias.
        """
        predicted_N = np.full(len(codes_NC), self.mean)
        for biases, codes in zip(self.biases, codes_NC.T, strict=True):
            is_known = codes < len(biases)
            predicted_N += np.where(is_known, biases[np.where(is_known, codes, 0)], 0.0)
        return predicted_N

    def describe(self, metrics: dict[str, float], *, rows: int) -> dict[str, Any]:
        """Return the section of a report."""
        return {"model": "mean, and a damped bias of each category", "rows": rows, "metrics": metrics}
