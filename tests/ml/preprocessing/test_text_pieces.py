"""A very long text is tokenized in pieces to the tokens of the whole."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.encoders import text as text_encoder
from ml.encoders.text import TextEncoder
from ml.preprocessing import text_pieces
from ml.preprocessing.text_pieces import batched_by_length, split_exactly

LINES = ["To be, or not to be", "  that is   the question:", "", "\tWhether 'tis nobler", "in the mind, 123", " "]
ENCODER = TextEncoder.learn(["\n".join(LINES) * 20], {"min_frequency": 1})


@given(st.lists(st.sampled_from([*LINES, "\n", "\r\n", "a", "é世"]), max_size=40), st.integers(1, 30))
def test_tokens_of_the_pieces_are_those_of_the_whole(lines: list[str], length: int) -> None:
    text = "\n".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_pieces, "PIECE_CHARACTERS", length)
        pieces = list(split_exactly(text))
        (together,) = ENCODER.tokenize_whole([text])
    (whole,) = ENCODER.tokenize_whole([text])

    assert "".join(pieces) == text
    assert together.tolist() == whole.tolist()


def test_a_long_text_is_read_in_pieces_of_about_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PIECE_CHARACTERS", 100)
    pieces = list(split_exactly("ten chars\n" * 100))

    assert len(pieces) == 10
    assert max(map(len, pieces)) <= 120


def test_a_text_without_line_breaks_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PIECE_CHARACTERS", 10)

    assert list(split_exactly("x" * 100)) == ["x" * 100]
    assert list(split_exactly("")) == [""]


def test_texts_are_batched_by_their_length() -> None:
    assert list(batched_by_length(["aaa", "b", "cc", "d"], 4)) == [["aaa", "b"], ["cc", "d"]]


def test_blocks_of_texts_give_the_rows_of_single_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(0)
    texts = [" ".join(generator.choices(LINES, k=generator.randint(0, 4))) for _ in range(50)]
    monkeypatch.setattr(text_encoder, "BLOCK_TEXTS", 7)
    together = ENCODER.encode(texts)

    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(row, ENCODER.encode([text])[0])
