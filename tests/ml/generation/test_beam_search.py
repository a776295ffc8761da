"""Beam search over tables of log-probabilities, compared with exhaustive search."""

import itertools

import numpy as np
import pytest

from ml.generation.beam_search import Hypothesis, search

START, END, PAD = 0, 1, 2


class Table:
    """Log-probabilities of the next token by row and previous token.

    It records the tokens of each beam, as a cache would.
    """

    def __init__(self, log_probs_table: np.ndarray) -> None:
        self.log_probs_table = log_probs_table  # [rows, V, V]
        self.row = np.arange(len(log_probs_table))
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
        return self.log_probs_table[self.row[:, None], tokens].copy()


def _random(rows: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(rows, vocabulary, vocabulary)) * 1.5
    return scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))


def _best(log_probs_table: np.ndarray, max_length: int, length_penalty: float) -> tuple[tuple[int, ...], float]:
    """Return the best of all sequences, by exhaustive search."""
    allowed_tokens = [token for token in range(len(log_probs_table)) if token not in (END, START, PAD)]
    candidates = []
    for length in range(max_length + 1):
        for tokens in itertools.product(allowed_tokens, repeat=length):
            path = (START, *tokens, END)
            total = sum(log_probs_table[first, second] for first, second in itertools.pairwise(path))
            candidates.append((total / ((5 + length + 1) / 6) ** length_penalty, tokens))
    score, tokens = max(candidates)
    return tokens, score


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.5])
def test_with_beams_enough_it_finds_the_best_of_all_sequences(length_penalty: float) -> None:
    log_probs_table = _random(rows=5, vocabulary=6)
    hypotheses = search(
        Table(log_probs_table),
        start=START,
        end=END,
        never=(START, PAD),
        max_lengths=[4] * 5,
        beams=200,
        length_penalty=length_penalty,
    )
    for row, hypothesis in enumerate(hypotheses):
        tokens, score = _best(log_probs_table[row], 4, length_penalty)
        assert (tuple(hypothesis.tokens), hypothesis.finished) == (tokens, True)
        assert hypothesis.score == pytest.approx(score)


def test_one_beam_takes_the_most_probable_token_each_time() -> None:
    log_probs_table = _random(rows=20, vocabulary=8, seed=1)
    hypotheses = search(Table(log_probs_table), start=START, end=END, never=(START, PAD), max_lengths=[9] * 20, beams=1)
    for row, hypothesis in enumerate(hypotheses):
        tokens, last = [], START
        log_probs = log_probs_table[row].copy()
        log_probs[:, [START, PAD]] = -np.inf
        while len(tokens) < 9 and (last := int(log_probs[last].argmax())) != END:
            tokens.append(last)
        assert hypothesis.tokens == tokens
        assert hypothesis.finished == (last == END)


def test_rows_are_searched_as_if_each_were_alone() -> None:
    log_probs_table = _random(rows=12, vocabulary=9, seed=2)
    max_lengths = [1 + row % 7 for row in range(12)]
    options = {"start": START, "end": END, "never": (PAD,), "beams": 3}
    together = search(Table(log_probs_table), max_lengths=max_lengths, **options)
    for row in range(12):
        (alone,) = search(Table(log_probs_table[row : row + 1]), max_lengths=max_lengths[row : row + 1], **options)
        assert together[row] == alone
        assert len(alone.tokens) <= max_lengths[row]


def test_each_beam_continues_its_own_history() -> None:
    table = Table(_random(rows=3, vocabulary=7, seed=3))
    histories: list[np.ndarray] = []

    def step(tokens: np.ndarray, *, rows: np.ndarray, beams: np.ndarray) -> np.ndarray:
        log_probs = table(tokens, rows=rows, beams=beams)
        assert table.history is not None
        histories.append(table.history)
        return log_probs

    hypotheses = search(step, start=START, end=END, never=(START, PAD), max_lengths=[6] * 3, beams=4)
    recorded = {tuple(path.tolist()) for history in histories for path in history.reshape(-1, history.shape[2])}
    assert all((START, *hypothesis.tokens) in recorded for hypothesis in hypotheses)


def test_it_stops_as_soon_as_nothing_better_can_come() -> None:
    ends = np.full((1, 4, 4), -20.0)
    ends[:, :, END] = -1e-8
    table = Table(ends)
    assert search(table, start=START, end=END, max_lengths=[500], beams=4) == [
        Hypothesis([], pytest.approx(-1e-8), True)
    ]
    assert table.calls == 1


def test_a_sequence_without_end_is_cut_and_marked_unfinished() -> None:
    endless = np.full((2, 4, 4), -30.0)
    endless[:, :, 3] = -0.1
    endless[:, :, END] = -np.inf
    hypotheses = search(Table(endless), start=START, end=END, max_lengths=[5, 2], beams=2)
    assert [hypothesis.tokens for hypothesis in hypotheses] == [[3] * 5, [3] * 2]
    assert not any(hypothesis.finished for hypothesis in hypotheses)


def test_no_rows_give_no_hypotheses() -> None:
    assert search(Table(_random(1, 4)), start=START, end=END, max_lengths=[], beams=2) == []
