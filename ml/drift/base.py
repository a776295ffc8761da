"""Conformal test martingales, by which all drift tests raise their alarm.

Each new score gets its rank among the reference and all earlier scores. As long as all are exchangeable, these ranks
are independent and uniform, and a bet against that gains nothing: wealth reaches `1 / alpha` with probability at most
`alpha`, however long the test runs (Ville's inequality). The bets jump as in the Simple Jumper of Vovk et al. (2021),
"Retrain or not retrain: conformal test martingales for change-point detection". Ranks of different columns depend on
each other, so the largest wealth is divided by their number (Bonferroni).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

Values = NDArray[np.float64]

#: Probability of an alarm without drift.
ALPHA: Final = 0.005
MIN_REFERENCE_ROWS: Final = 50
#: Rows after which a test ends, so that its memory is bounded.
MAX_ROWS: Final = 20_000

_SLOPES: Final = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
#: Linear bets, and two power bets that gain most by the very first rows of a new kind.
_BETS: Final = len(_SLOPES) + 2
#: Fraction of the wealth that is spread evenly over the slopes after each row.
_JUMP: Final = 0.01


class DriftTest(ABC):
    """Turns values of rows into scores, whose order changes when the rows do."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, reference: Values) -> None:
        """Learn from rows that are used for nothing else."""

    @abstractmethod
    def scores(self, values: Values) -> Values:
        """Return the scores (rows, columns) of values (rows, features)."""


class DriftMonitor:
    """Runs one test over a stream of rows."""

    def __init__(self, test: DriftTest, reference: Values, *, seed: int = 0, alpha: float = ALPHA) -> None:
        """Fit the test on one half of the reference rows and rank against the other.

        Raises `ValueError` for a reference of too few rows.
        """
        if len(reference) < MIN_REFERENCE_ROWS:
            raise ValueError(f"The reference has {len(reference)} rows (minimum {MIN_REFERENCE_ROWS}). Add rows.")
        self._rng = np.random.default_rng(seed)
        order = self._rng.permutation(len(reference))
        half = len(reference) // 2
        test.fit(reference[order[:half]])
        self._test = test
        self._threshold = 1.0 / alpha
        calibration = test.scores(reference[order[half:]])
        self._start = len(calibration)
        self._history = np.empty((len(calibration) + MAX_ROWS, calibration.shape[1]))
        self._history[: self._start] = calibration
        #: Rows of the stream so far.
        self.rows = 0
        self._wealth = np.full((calibration.shape[1], _BETS), 1.0 / _BETS)
        #: Row of the stream, from 1, at which drift was seen; None without.
        self.alarm_row: int | None = None

    @property
    def wealth(self) -> float:
        """Evidence of drift: 1 at first, an alarm at `1 / alpha`."""
        return float(self._wealth.sum(axis=1).max() / len(self._wealth))

    def update(self, values: Values) -> bool:
        """Take rows of the stream; return whether drift has been seen, now or before."""
        for score in self._test.scores(values):
            if self.alarm_row is not None or self.rows >= MAX_ROWS:
                break
            self._bet(self._p_values(score))
            self.rows += 1
            if self.wealth >= self._threshold:
                self.alarm_row = self.rows
        return self.alarm_row is not None

    @property
    def threshold(self) -> float:
        """Value of `wealth` from which on it is an alarm."""
        return self._threshold

    def save(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the state as arrays, and as JSON values."""
        arrays = {"history": self._history[: self._start + self.rows], "wealth": self._wealth}
        rest = {"rows": self.rows, "alarm_row": self.alarm_row, "rng_state": self._rng.bit_generator.state}
        return arrays, rest

    def restore(self, arrays: Mapping[str, NDArray[Any]], rest: Mapping[str, Any]) -> None:
        """Continue from what `save` returned; test, reference, seed and alpha must be the same."""
        self.rows, self.alarm_row = rest["rows"], rest["alarm_row"]
        self._history[: self._start + self.rows] = arrays["history"]
        self._wealth = np.array(arrays["wealth"])
        self._rng.bit_generator.state = rest["rng_state"]

    def _p_values(self, score: Values) -> Values:
        """Rank one row among all before it, with ties broken at random."""
        count = self._start + self.rows
        self._history[count] = score
        earlier = self._history[:count]
        above, equal = (earlier > score).sum(axis=0), (earlier == score).sum(axis=0) + 1
        ranks: Values = (above + self._rng.random(len(score)) * equal) / (count + 1)
        return ranks

    def _bet(self, p_values: Values) -> None:
        total = self._wealth.sum(axis=1, keepdims=True)
        spread = (1 - _JUMP) * self._wealth + _JUMP * total / _BETS
        column = np.clip(p_values[:, None], 1e-9, 1 - 1e-9)
        linear = 1 + _SLOPES * (column - 0.5)
        self._wealth = spread * np.hstack([linear, 0.5 / np.sqrt(column), 0.5 / np.sqrt(1 - column)])
