"""Temperature scaling: a classifier's probabilities become as sure as it is right.

N rows, K classes.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

#: Range of the temperature.
MAX_TEMPERATURE: Final = 20.0
#: Limit of logits that are fitted to; of more, rows at equal distances are taken.
MAX_CELLS: Final = 5_000_000


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature that makes validation rows most probable (Guo et al. 2017).

    Its logarithm has a standard normal prior: few rows say little, and rows without a single mistake would otherwise
    ask for a temperature of 0. `logits` float [N, K], `label` int64 [N].
    """
    # Imported here: only a worker that trains has it, and it takes a third of a second.
    from scipy.optimize import minimize_scalar

    step = max(1, math.ceil(logits.size / MAX_CELLS))
    logits, label = logits[::step].astype(np.float64), label[::step]
    # Differences from the true logit, so that the loss of a row is the logarithm of a sum.
    differences = logits - logits[np.arange(len(label)), label][:, None]
    highest = differences.max(axis=1)

    def negative_log_posterior(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        sums = np.exp((differences - highest[:, None]) * scale).sum(axis=1)
        return float((np.log(sums) + highest * scale).sum()) + log_temperature**2 / 2

    limit = math.log(MAX_TEMPERATURE)
    fitted = minimize_scalar(negative_log_posterior, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-4})
    return round(math.exp(float(fitted.x)), 4)
