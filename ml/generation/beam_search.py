"""Beam search for the most probable sequence, in numpy, over any function that returns log-probabilities.

A unfinished rows, K beams, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Vaswani et al. 2017, section 6.1.
LENGTH_PENALTY: Final = 0.6


class Step(Protocol):
    """Predicts one more token for every beam."""

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        """Return float [A, K, V], the log-probability of each next token.

        `tokens` int64 [A, K] are the last of each beam. `rows` int64 [A] and `beams` int64 [A, K] are the row and beam
        of the previous call that each beam continues: a cache of keys and values must be reordered by them. The caller
        may overwrite the returned array.
        """


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best sequence of one row, without its start and end tokens."""

    tokens: list[int]
    #: Log-probability over the length penalty; comparable between sequences of one row.
    score: float
    #: Whether it ended before the length limit.
    finished: bool


def search(
    step: Step,
    *,
    start: int,
    end: int,
    max_lengths: Sequence[int] | np.ndarray,
    beams: int,
    never: Sequence[int] = (),
    length_penalty: float = LENGTH_PENALTY,
) -> list[Hypothesis]:
    """Return the best sequence of each row; `max_lengths` limit its tokens, not counting the end.

    One beam is greedy search. `never` are tokens that no sequence contains, such as padding. Sequences of different
    lengths are compared by log-probability over ((5 + length) / 6) ^ `length_penalty` (Wu et al. 2016,
    arXiv:1609.08144, equation 14). A row is finished once as many of its sequences have ended as there are beams, or no
    other can become better than the best one that has ended.
    """
    limits = np.asarray(max_lengths, dtype=np.int64)
    best: list[Hypothesis | None] = [None] * len(limits)
    alive = _Alive.first(len(limits), beams, start)
    rows, parents = np.arange(len(limits)), np.zeros((len(limits), beams), dtype=np.int64)
    while len(alive.row):
        log_probs = step(alive.last, rows=rows, beams=parents)
        log_probs[..., list(never)] = -np.inf
        rows, parents, alive = _extend(alive, log_probs, end, limits, best, length_penalty)
    return [hypothesis for hypothesis in best if hypothesis is not None]


@dataclass(slots=True)
class _Alive:
    """Unfinished rows and their beams, the best first."""

    #: int64 [A]: index of the row in the request.
    row: np.ndarray
    #: int64 [A, K, length + 1], including the start token.
    tokens: np.ndarray
    #: float64 [A, K]: log-probability so far; before the first step, all beams but the first are impossible.
    score: np.ndarray
    #: int64 [A]: number of sequences of the row that have ended.
    ended: np.ndarray

    @classmethod
    def first(cls, rows: int, beams: int, start: int) -> _Alive:
        score = np.full((rows, beams), -np.inf)
        score[:, 0] = 0.0
        return cls(np.arange(rows), np.full((rows, beams, 1), start), score, np.zeros(rows, dtype=np.int64))

    @property
    def last(self) -> np.ndarray:
        return np.ascontiguousarray(self.tokens[:, :, -1])


def _extend(
    alive: _Alive,
    log_probs: np.ndarray,
    end: int,
    limits: np.ndarray,
    best: list[Hypothesis | None],
    length_penalty: float,
) -> tuple[np.ndarray, np.ndarray, _Alive]:
    """Extend the beams by one token, and add ended sequences to `best`.

    Return the previous rows and beams of those that are left, and their state.
    """
    rows, beams, vocabulary = log_probs.shape
    total = (alive.score[:, :, None] + log_probs).reshape(rows, beams * vocabulary)
    # At most half of twice as many candidates as beams are ends, one per beam: enough are left to continue with.
    candidates = _top(total, min(2 * beams, beams * vocabulary))
    scores = np.take_along_axis(total, candidates, axis=1)
    parent, token = np.divmod(candidates, vocabulary)
    is_end = token == end
    length = alive.tokens.shape[2] - 1

    for at, rank in zip(*np.nonzero(is_end[:, :beams] & np.isfinite(scores[:, :beams])), strict=True):
        tokens = alive.tokens[at, parent[at, rank], 1:]
        _update_best(
            best, alive.row[at], tokens, scores[at, rank] / _penalty(length + 1, length_penalty), finished=True
        )
        alive.ended[at] += 1

    continued = np.argsort(is_end, axis=1, kind="stable")[:, :beams]
    parents = np.take_along_axis(parent, continued, axis=1)
    token = np.take_along_axis(token, continued, axis=1)
    is_end, scores = np.take_along_axis(is_end, continued, axis=1), np.take_along_axis(scores, continued, axis=1)
    score = np.where(is_end, -np.inf, scores)
    before = np.take_along_axis(alive.tokens, parents[:, :, None], axis=1)
    tokens = np.concatenate([before, token[:, :, None]], axis=2)

    unfinished = []
    for at in range(rows):
        hypothesis, limit = best[alive.row[at]], int(limits[alive.row[at]])
        attainable = score[at, 0] / _penalty(limit + 1, length_penalty)
        if hypothesis is not None and (alive.ended[at] >= beams or hypothesis.score >= attainable):
            continue
        if length >= limit:  # only an end could follow
            if hypothesis is None:
                current = alive.score[at, 0] / _penalty(length, length_penalty)
                _update_best(best, alive.row[at], alive.tokens[at, 0, 1:], current, finished=False)
            continue
        unfinished.append(at)
    left = np.array(unfinished, dtype=np.int64)
    return left, parents[left], _Alive(alive.row[left], tokens[left], score[left], alive.ended[left])


def _update_best(best: list[Hypothesis | None], row: int, tokens: np.ndarray, score: float, *, finished: bool) -> None:
    hypothesis = best[row]
    if hypothesis is None or score > hypothesis.score:
        best[row] = Hypothesis(tokens.tolist(), float(score), finished)


def _penalty(length: int, exponent: float) -> float:
    return float(((5 + length) / 6) ** exponent)


def _top(values: np.ndarray, count: int) -> np.ndarray:
    """Return int64 [A, count], the positions of the highest values per row.

    The highest comes first, and ties keep their order.
    """
    if count < values.shape[1]:
        positions = np.sort(np.argpartition(values, -count, axis=1)[:, -count:], axis=1)
    else:
        positions = np.broadcast_to(np.arange(count), values.shape)
    order = np.argsort(-np.take_along_axis(values, positions, axis=1), axis=1, kind="stable")
    return np.take_along_axis(positions, order, axis=1)
