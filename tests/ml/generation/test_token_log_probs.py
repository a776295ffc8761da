"""Log-probabilities of tokens, and their texts and bytes."""

import numpy as np
import pytest

from ml.generation.token_log_probs import MIN_LOG_PROB, TokenDescriber, measure

#: Entries of a byte-level vocabulary: "a", a space before "b", and the two bytes of "é"; then one of SentencePiece.
NAMES = ["a", "\u0120b", "\u00c3", "\u00a9", "[END]", "<0xE4>", "\u2581c"]
TEXTS = ["a", " b", "\ufffd", "\ufffd", "", "\ufffd", "\ufffd"]


def describe(token, offset=1):
    describer = TokenDescriber(
        lambda tokens: "".join(TEXTS[token] for token in tokens), tokenize=lambda _: [0], name_of=NAMES.__getitem__
    )
    measured = measure(np.zeros(len(NAMES), dtype=np.float32), token, count=0, offset=offset)
    (description,) = describer.describe([measured])
    return description["token"], description["bytes"]


def test_probabilities_are_those_of_the_logits_and_the_best_come_first():
    measured = measure(np.log(np.array([1, 4, 3, 2], dtype=np.float32)), 3, count=2, offset=7)
    assert np.exp(measured.log_prob) == pytest.approx(0.2, rel=1e-6)
    assert [token for token, _ in measured.top] == [1, 2]
    assert np.exp([value for _, value in measured.top]) == pytest.approx([0.4, 0.3], rel=1e-6)
    assert measured.offset == 7


def test_a_token_that_cannot_follow_has_a_finite_value():
    measured = measure(np.array([0, -np.inf], dtype=np.float32), 0, count=9, offset=0)
    assert [value for _, value in measured.top] == [0, MIN_LOG_PROB]


def test_a_part_of_a_character_has_its_bytes():
    assert describe(0) == ("a", [97])
    assert describe(1) == (" b", [32, 98])
    assert describe(2) == ("\\xc3", [0xC3])
    assert describe(4) == ("[END]", list(b"[END]"))
    assert describe(5) == ("\\xe4", [0xE4])
    assert describe(6) == ("\ufffd", None)
