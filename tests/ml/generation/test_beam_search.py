"""Beam search over odds that are known, and over ones that anyone can enumerate."""

import itertools

import numpy as np
import pytest

from ml.generation.beam_search import Hypothesis, search

START, END, PAD = 0, 1, 2


class Table:
    """Odds of the next token given the one before, by row; keeps what it was asked, as a cache would."""

    def __init__(self, log_odds: np.ndarray) -> None:
        self.log_odds = log_odds  # [rows, V, V]
        self.row = np.arange(len(log_odds))
        self.history: np.ndarray | None = None
        self.calls = 0

    def __call__(self, tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        self.calls += 1
        self.row = self.row[rows]
        if self.history is None:
            self.history = tokens[:, :, None]
        else:
            before = np.take_along_axis(self.history[rows], beams[:, :, None], axis=1)
            self.history = np.concatenate([before, tokens[:, :, None]], axis=2)
        return self.log_odds[self.row[:, None], tokens].copy()


def _random(rows: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(rows, vocabulary, vocabulary)) * 1.5
    return scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))


def _best(log_odds: np.ndarray, longest: int, length_penalty: float) -> tuple[tuple[int, ...], float]:
    """By trying every sequence there is."""
    letters = [token for token in range(len(log_odds)) if token not in (END, START, PAD)]
    found = []
    for length in range(longest + 1):
        for tokens in itertools.product(letters, repeat=length):
            path = (START, *tokens, END)
            total = sum(log_odds[one, two] for one, two in itertools.pairwise(path))
            found.append((total / ((5 + length + 1) / 6) ** length_penalty, tokens))
    score, tokens = max(found)
    return tokens, score


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5])
def test_with_beams_enough_it_finds_the_best_of_all_sequences(length_penalty: float) -> None:
    log_odds = _random(rows=5, vocabulary=6)
    found = search(
        Table(log_odds),
        start=START,
        end=END,
        never=(START, PAD),
        max_lengths=[4] * 5,
        beams=200,
        length_penalty=length_penalty,
    )
    for row, each in enumerate(found):
        tokens, score = _best(log_odds[row], 4, length_penalty)
        assert (tuple(each.tokens), each.finished) == (tokens, True)
        assert each.score == pytest.approx(score)


def test_one_beam_takes_the_most_probable_token_each_time() -> None:
    log_odds = _random(rows=20, vocabulary=8, seed=1)
    found = search(Table(log_odds), start=START, end=END, never=(START, PAD), max_lengths=[9] * 20, beams=1)
    for row, each in enumerate(found):
        tokens, last = [], START
        odds = log_odds[row].copy()
        odds[:, [START, PAD]] = -np.inf
        while len(tokens) < 9 and (last := int(odds[last].argmax())) != END:
            tokens.append(last)
        assert each.tokens == tokens
        assert each.finished == (last == END)


def test_rows_are_searched_as_if_each_were_alone() -> None:
    log_odds = _random(rows=12, vocabulary=9, seed=2)
    longest = [1 + row % 7 for row in range(12)]
    asked = {"start": START, "end": END, "never": (PAD,), "beams": 3}
    together = search(Table(log_odds), max_lengths=longest, **asked)
    for row in range(12):
        (alone,) = search(Table(log_odds[row : row + 1]), max_lengths=longest[row : row + 1], **asked)
        assert together[row] == alone
        assert len(alone.tokens) <= longest[row]


def test_each_beam_goes_on_from_its_own_past() -> None:
    table = Table(_random(rows=3, vocabulary=7, seed=3))
    seen: list[np.ndarray] = []

    def step(tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        odds = table(tokens, rows=rows, beams=beams)
        assert table.history is not None
        seen.append(table.history)
        return odds

    found = search(step, start=START, end=END, never=(START, PAD), max_lengths=[6] * 3, beams=4)
    pasts = {tuple(path.tolist()) for history in seen for path in history.reshape(-1, history.shape[2])}
    assert all((START, *each.tokens) in pasts for each in found)


def test_it_stops_as_soon_as_nothing_better_can_come() -> None:
    ends = np.full((1, 4, 4), -20.0)
    ends[:, :, END] = -1e-8
    table = Table(ends)
    assert search(table, start=START, end=END, max_lengths=[500], beams=4) == [
        Hypothesis([], pytest.approx(-1e-8), True)
    ]
    assert table.calls == 1


def test_what_never_ends_is_cut_and_says_so() -> None:
    goes_on = np.full((2, 4, 4), -30.0)
    goes_on[:, :, 3] = -0.1
    goes_on[:, :, END] = -np.inf
    found = search(Table(goes_on), start=START, end=END, max_lengths=[5, 2], beams=2)
    assert [each.tokens for each in found] == [[3] * 5, [3] * 2]
    assert not any(each.finished for each in found)


def test_no_rows_give_no_answers() -> None:
    assert search(Table(_random(1, 4)), start=START, end=END, max_lengths=[], beams=2) == []
