import numpy as np

from ml.preprocessing.sequence_packing import pack_sequences

BEGIN, END = 1, 2


def documents(*lengths: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens that are all different, from 10 on."""
    starts = np.cumsum([10, *lengths])
    return [(np.arange(start, start + length), np.ones(length)) for start, length in zip(starts, lengths, strict=False)]


def test_every_token_is_in_one_window_once() -> None:
    given = documents(3, 40, 1, 12, 7, 7)
    windows = pack_sequences(given, length=16, begin=BEGIN, end=END)
    tokens = np.concatenate(windows.tokens)
    assert sorted(tokens[tokens >= 10]) == list(range(10, 80))
    assert (tokens == END).sum() == len(given)
    assert all(len(window) <= 16 and window[0] == BEGIN for window in windows.tokens)


def test_only_what_is_longer_than_a_window_is_cut() -> None:
    windows = pack_sequences(documents(40, 5, 6), length=16, begin=BEGIN, end=END)
    cut = [window for window in windows.tokens if (window >= 50).any()]
    assert [window.tolist() for window in cut] == [[BEGIN, *range(50, 55), END, BEGIN, *range(55, 61), END]]


def test_little_room_is_left() -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 400)
    windows = pack_sequences(documents(*lengths.tolist()), length=64, begin=BEGIN, end=END)
    assert sum(map(len, windows.tokens)) / (64 * len(windows.tokens)) > 0.98


def test_the_first_token_of_a_piece_is_given_and_not_predicted() -> None:
    tokens, weights = documents(4)[0]
    windows = pack_sequences([(tokens, weights * [0, 0, 1, 1])], length=8, begin=BEGIN, end=END)
    assert windows.tokens[0].tolist() == [BEGIN, 10, 11, 12, 13, END]
    assert windows.weights[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_document_belongs_to_the_window_that_it_begins_in() -> None:
    windows = pack_sequences(documents(40, 5), length=16, begin=BEGIN, end=END)
    assert sorted(document for window in windows.documents for document in window) == [0, 1]
