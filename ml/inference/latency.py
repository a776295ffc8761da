"""Time that models take to answer, measured side by side."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.data.rows import Row
    from ml.inference.predictor import Predictor

#: Rows of the requests that are timed: one alone, and the largest batch of a server.
REQUEST_ROWS: Final = (1, 64)
MAX_RUNS: Final = 40
MIN_RUNS: Final = 5
#: Seconds for all models and one number of rows, after the smallest number of runs.
BUDGET_SECONDS: Final = 2.0


def measure_latency(predictors: Mapping[str, Predictor], rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Return the median milliseconds of a request by model and number of rows.

    The models take turns, so that whatever else the machine does meets all of them alike. Rows are repeated to fill a
    request.
    """
    latency: dict[str, dict[int, float]] = {name: {} for name in predictors}
    for count in REQUEST_ROWS:
        request = [rows[position % len(rows)] for position in range(count)]
        for name, seconds in _time_in_turns(predictors, request).items():
            latency[name][count] = round(1000 * median(seconds), 4)
    return latency


def _time_in_turns(predictors: Mapping[str, Predictor], request: Sequence[Row]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    for predictor in predictors.values():
        predictor.answer(request, output=None)  # warm-up
    end = time.perf_counter() + BUDGET_SECONDS
    for run in range(MAX_RUNS):
        if run >= MIN_RUNS and time.perf_counter() > end:
            break
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predictor.answer(request, output=None)
            seconds[name].append(time.perf_counter() - start)
    return seconds
