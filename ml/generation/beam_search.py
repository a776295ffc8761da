"""The most probable sequence, looked for along several at once: beam search, in numpy, over whatever gives the odds.

A rows that are not finished yet, K beams, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH_PENALTY: Final = 0.6
"""Of Vaswani et al. 2017, section 6.1."""


class Step(Protocol):
    """One more token for every beam."""

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        """float [A, K, V]: the log-probability of each token to follow `tokens`, int64 [A, K], the last of each beam.

        `rows` int64 [A] and `beams` int64 [A, K] say which row and beam of the call before each goes on from; whatever
        was kept from then (a cache of keys and values) is to be taken in that order. The array may be written into.
        """


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best sequence of one row, without its start and its end."""

    tokens: list[int]
    score: float
    """Log-probability over the length penalty; to compare sequences of one row with."""
    finished: bool
    """Whether it came to its end before the longest that was allowed."""


def search(
    step: Step,
    *,
    start: int,
    end: int,
    longest: Sequence[int] | np.ndarray,
    beams: int,
    never: Sequence[int] = (),
    length_penalty: float = LENGTH_PENALTY,
) -> list[Hypothesis]:
    """The best sequence of each row; `longest` says of how many tokens at most, the end not counted.

    One beam is greedy search: the most probable token each time. `never` are tokens that no sequence has (padding).
    Sequences of several lengths are compared by log-probability over ((5 + length) / 6) ^ `length_penalty` (Wu et al.
    2016, arXiv:1609.08144, equation 14). A row ends once as many of its sequences have ended as there are beams, or
    none of the others can become better than the best that has.
    """
    limits = np.asarray(longest, dtype=np.int64)
    best: list[Hypothesis | None] = [None] * len(limits)
    alive = _Alive.first(len(limits), beams, start)
    rows, parents = np.arange(len(limits)), np.zeros((len(limits), beams), dtype=np.int64)
    while len(alive.row):
        odds = step(alive.last, rows=rows, beams=parents)
        odds[..., list(never)] = -np.inf
        rows, parents, alive = _grown(alive, odds, end, limits, best, length_penalty)
    return [found for found in best if found is not None]


@dataclass(slots=True)
class _Alive:
    """Rows that still grow, and their beams, the best first."""

    row: np.ndarray
    """int64 [A]: which of the rows that were asked for."""
    tokens: np.ndarray
    """int64 [A, K, length + 1], the start included."""
    score: np.ndarray
    """float64 [A, K]: the log-probability so far; all but the first beam are impossible before the first step."""
    ended: np.ndarray
    """int64 [A]: how many sequences of the row have come to their end."""

    @classmethod
    def first(cls, rows: int, beams: int, start: int) -> _Alive:
        score = np.full((rows, beams), -np.inf)
        score[:, 0] = 0.0
        return cls(np.arange(rows), np.full((rows, beams, 1), start), score, np.zeros(rows, dtype=np.int64))

    @property
    def last(self) -> np.ndarray:
        return np.ascontiguousarray(self.tokens[:, :, -1])


def _grown(
    alive: _Alive, odds: np.ndarray, end: int, limits: np.ndarray, best: list[Hypothesis | None], length_penalty: float
) -> tuple[np.ndarray, np.ndarray, _Alive]:
    """One token longer, and where each row and beam of what is left was before. What has ended goes into `best`."""
    rows, beams, vocabulary = odds.shape
    total = (alive.score[:, :, None] + odds).reshape(rows, beams * vocabulary)
    # Of twice as many as there are beams at most half are ends, one a beam: enough is left to go on with.
    candidates = _highest(total, min(2 * beams, beams * vocabulary))
    scores = np.take_along_axis(total, candidates, axis=1)
    came_from, token = np.divmod(candidates, vocabulary)
    is_end = token == end
    length = alive.tokens.shape[2] - 1

    for at, rank in zip(*np.nonzero(is_end[:, :beams] & np.isfinite(scores[:, :beams])), strict=True):
        tokens = alive.tokens[at, came_from[at, rank], 1:]
        _keep(best, alive.row[at], tokens, scores[at, rank] / _penalty(length + 1, length_penalty), finished=True)
        alive.ended[at] += 1

    goes_on = np.argsort(is_end, axis=1, kind="stable")[:, :beams]
    parents = np.take_along_axis(came_from, goes_on, axis=1)
    token = np.take_along_axis(token, goes_on, axis=1)
    score = np.where(np.take_along_axis(is_end, goes_on, axis=1), -np.inf, np.take_along_axis(scores, goes_on, axis=1))
    before = np.take_along_axis(alive.tokens, parents[:, :, None], axis=1)
    tokens = np.concatenate([before, token[:, :, None]], axis=2)

    left = []
    for at in range(rows):
        found, limit = best[alive.row[at]], int(limits[alive.row[at]])
        could_be = score[at, 0] / _penalty(limit + 1, length_penalty)
        if found is not None and (alive.ended[at] >= beams or found.score >= could_be):
            continue
        if length >= limit:  # so long already that only an end could follow
            if found is None:
                reached = alive.score[at, 0] / _penalty(length, length_penalty)
                _keep(best, alive.row[at], alive.tokens[at, 0, 1:], reached, finished=False)
            continue
        left.append(at)
    kept = np.array(left, dtype=np.int64)
    return kept, parents[kept], _Alive(alive.row[kept], tokens[kept], score[kept], alive.ended[kept])


def _keep(best: list[Hypothesis | None], row: int, tokens: np.ndarray, score: float, *, finished: bool) -> None:
    known = best[row]
    if known is None or score > known.score:
        best[row] = Hypothesis(tokens.tolist(), float(score), finished)


def _penalty(length: int, exponent: float) -> float:
    return float(((5 + length) / 6) ** exponent)


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """int64 [A, count]: where the highest of each row stand, the highest first, equal ones in their order."""
    if count < values.shape[1]:
        chosen = np.sort(np.argpartition(values, -count, axis=1)[:, -count:], axis=1)
    else:
        chosen = np.broadcast_to(np.arange(count), values.shape)
    order = np.argsort(-np.take_along_axis(values, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
