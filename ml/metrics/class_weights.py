"""Class weights: how much the rows of rare classes count in the loss."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ml.data.rows import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

ClassWeight = Literal["auto", "balanced", "none"]

#: Rows of the largest class for each row of the rarest, from which `auto` weights the classes.
IMBALANCE: Final = 10
#: Power of the inverse frequency by which `auto` weights: between none (0) and `balanced` (1).
AUTO_POWER: Final = 0.5


def count_classes(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return the number of rows of each class, int64 [K]."""
    if isinstance(labels, Labels):
        counts = dict(zip(labels.classes, np.bincount(labels.codes, minlength=len(labels.classes)), strict=True))
    else:
        counts = Counter(labels)
    return np.array([counts.get(name, 0) for name in classes], dtype=np.int64)


def class_weights(mode: ClassWeight, counts: np.ndarray) -> list[float] | None:
    """Return the weight of each class; None if all count the same.

    `counts` int64 [K] are the training rows by class. Weights are proportional to a power of the inverse frequency, and
    have a mean over the rows of 1, so that the size of the loss stays. `balanced` is that of scikit-learn. A class
    without a row has the weight 1.
    """
    present = counts[counts > 0]
    if mode == "none" or len(present) < 2 or present.max() == present.min():
        return None
    if mode == "auto" and present.max() < IMBALANCE * present.min():
        return None
    power = AUTO_POWER if mode == "auto" else 1.0
    raw = np.divide(1.0, counts, out=np.zeros(len(counts)), where=counts > 0) ** power
    weights = raw * counts.sum() / (raw * counts).sum()
    weights[counts == 0] = 1.0
    return [round(weight, 6) for weight in weights.tolist()]


def describe(weights: Sequence[float], classes: Sequence[str]) -> str:
    """Return a note about the weights for the report."""
    least, most = int(np.argmin(weights)), int(np.argmax(weights))
    return (
        f"classes are weighted in the loss, since some are rare: {weights[least]:.2g} for {classes[least]!r} to "
        f"{weights[most]:.2g} for {classes[most]!r}; probabilities of rare classes are higher than their frequency. "
        "Set class_weight of the task to none to count all rows the same"
    )
