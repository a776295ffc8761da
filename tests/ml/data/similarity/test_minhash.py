"""Signatures of texts."""

from __future__ import annotations

import numpy as np
import pytest

from ml.data.similarity import minhash
from ml.data.similarity.twins import NO_TWIN, find_twins

WORDS = [f"{first}{second}{third}" for first in "bdfgk" for second in "aeiou" for third in ("l", "nt", "rst", "m")]


def sentences(count: int, *, words: int = 30) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, words)) for _ in range(count)]


def jaccard(one: str, other: str) -> float:
    grams = [
        {text[start : start + minhash.NGRAM] for start in range(len(text) - minhash.NGRAM + 1)}
        for text in map(minhash.normalize, (one, other))
    ]
    return len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def test_the_estimate_is_close_to_the_jaccard_similarity() -> None:
    generator = np.random.default_rng(1)
    originals = sentences(300)
    changed = []
    for number, text in enumerate(originals):
        words = text.split()
        for position in generator.choice(len(words), number % 12, replace=False):
            words[position] = generator.choice(WORDS)
        changed.append(" ".join(words))
    signatures, is_usable = minhash.make_signatures([*originals, *changed])
    assert is_usable.all()
    estimates = minhash.estimate_similarity(signatures, np.arange(300), np.arange(300, 600))
    errors = estimates - [jaccard(one, other) for one, other in zip(originals, changed, strict=True)]
    assert abs(errors.mean()) < 0.01
    assert errors.std() < 0.05


def test_case_punctuation_and_line_breaks_do_not_count() -> None:
    signatures, _ = minhash.make_signatures(["The film, at last,\nis good!", "the film at last is GOOD"])
    assert (signatures[0] == signatures[1]).all()


def test_short_texts_have_no_signature() -> None:
    _, is_usable = minhash.make_signatures(["thank you", "?!" * 40, "", "thank you very much"])
    assert is_usable.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "text", ["短い文ではない、十六文字以上の文章です。", "emoji 🙂 and a lone \ud800 surrogate", "é" * 50]
)
def test_any_script_has_a_signature_that_repeats(text: str) -> None:
    one, is_usable = minhash.make_signatures([text])
    other, _ = minhash.make_signatures(["another text before it", text])
    assert is_usable.all()
    assert (one[0] == other[1]).all()


def test_signatures_do_not_depend_on_the_texts_beside_them() -> None:
    texts = sentences(50)
    together, _ = minhash.make_signatures(texts)
    alone = np.concatenate([minhash.make_signatures([text])[0] for text in texts])
    assert (together == alone).all()


def test_each_row_has_a_twin_before_it_even_in_one_large_band() -> None:
    texts = [f"set an alarm for day {row % 7} of the week" for row in range(500)]
    signatures, _ = minhash.make_signatures(texts)
    splits = np.array([0] * 400 + [2] * 100, dtype=np.int8)
    twins = find_twins(
        minhash.make_bands(signatures),
        splits,
        lambda rows, others: minhash.estimate_similarity(signatures, rows, others),
        min_similarity=0.75,
    )
    assert (twins.across[:400] == NO_TWIN).all()
    assert (twins.within[1:400] < np.arange(1, 400)).all()
    assert (twins.within[7:400] != NO_TWIN).all()
    assert ((twins.across[400:] >= 0) & (twins.across[400:] < 400)).all()
    assert (twins.similarity[400:] >= 0.75).all()
