"""Windows of a text cover it, and outputs are joined from them."""

from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ml.encoders.text import TextEncoder
from ml.preprocessing import long_texts
from ml.preprocessing.long_texts import join_windows, special_tokens, tokenize_long, truncation_fields

WORDS = ["good", "bad", "film", "very", "dull"]


def make_tokenizer(template):
    """Make a tokenizer of words with the special tokens S and E."""
    vocabulary = {word: code for code, word in enumerate(["[UNK]", "S", "E", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if template != "$A":
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("S", 1), ("E", 2)])
    return tokenizer


@pytest.mark.parametrize(
    ("template", "expected"),
    [("S $A E", ([1], [2])), ("$A E", ([], [2])), ("S $A", ([1], [])), ("$A", ([], [])), ("S S $A", ([1, 1], []))],
)
def test_special_tokens_are_those_that_the_template_adds(template, expected):
    assert special_tokens(make_tokenizer(template)) == expected


@pytest.mark.parametrize("template", ["S $A E", "$A E", "$A"])
@pytest.mark.parametrize("words", [0, 1, 5, 6, 7, 8, 9, 50])
def test_a_cut_text_has_the_tokens_of_the_library(template, words):
    tokenizer = make_tokenizer(template)
    text = " ".join(np.random.default_rng(words).choice(WORDS, words))

    (cut,) = tokenize_long(tokenizer, text, max_length=8, has_windows=False)

    tokenizer.enable_truncation(8)
    assert cut.tokens.tolist() == tokenizer.encode(text).ids
    assert (cut.length, cut.windows) == (words, 0)
    assert cut.retained == min(words, 8 - sum(map(len, special_tokens(tokenizer))))


@pytest.mark.parametrize("words", [1, 6, 7, 8, 11, 12, 50])
def test_windows_cover_a_text_and_overlap(words):
    tokenizer = make_tokenizer("S $A E")
    ids = [int(code) for code in np.random.default_rng(words).integers(3, 8, words)]
    text = " ".join(WORDS[code - 3] for code in ids)

    windows = tokenize_long(tokenizer, text, max_length=8, has_windows=True)

    bodies = [window.tokens[1:-1].tolist() for window in windows]
    assert {(window.tokens[0], window.tokens[-1]) for window in windows} == {(1, 2)}
    assert all(len(body) == 6 for body in bodies[:-1])
    covered = bodies[0] + [code for body in bodies[1:] for code in body[1:]]
    assert covered == ids
    assert all(later[0] == earlier[-1] for earlier, later in pairwise(bodies))
    assert {(window.retained, window.length, window.windows) for window in windows} == {(words, words, len(windows))}
    assert all(len(body) > 1 for body in bodies) or words == 1


def test_the_number_of_windows_is_limited_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(long_texts, "MAX_WINDOWS", 3)

    windows = tokenize_long(make_tokenizer("S $A E"), "good " * 100, max_length=8, has_windows=True)

    assert len(windows) == 3
    assert (windows[0].retained, windows[0].length) == (6 + 5 + 5, 100)
    assert truncation_fields(*windows[0][1:]) == {"windows": 3, "truncated": {"kept": 16, "of": 100}}


def test_a_text_read_whole_at_once_has_no_fields():
    assert truncation_fields(5, 5) == {}
    assert truncation_fields(5, 5, 2) == {"windows": 2}
    assert truncation_fields(30, 212) == {"truncated": {"kept": 30, "of": 212}}


def test_probabilities_are_averaged_and_the_label_follows():
    rows = [{"a": 0.6, "b": 0.4}, {"a": 0.1, "b": 0.9}, {"a": 0.6, "b": 0.4}]
    outputs = [
        {"label": max(row, key=row.get), "confidence": max(row.values()), "probabilities": row, "windows": 3}
        for row in rows
    ]
    other = {"label": "a", "confidence": 1.0, "probabilities": {"a": 1.0, "b": 0.0}}

    joined = join_windows([other, *outputs, other])

    assert joined[0] == joined[2] == other
    assert joined[1]["label"] == "b"
    assert joined[1]["confidence"] == joined[1]["probabilities"]["b"] == pytest.approx(17 / 30)
    assert joined[1]["windows"] == 3


def test_the_mean_of_unit_vectors_is_one_and_of_others_is_not():
    unit = [{"embedding": [1.0, 0.0], "windows": 2}, {"embedding": [0.0, 1.0], "windows": 2}]
    plain = [{"embedding": [2.0, 0.0], "windows": 2}, {"embedding": [0.0, 1.0], "windows": 2}]

    joined = join_windows(unit + plain)

    assert joined[0]["embedding"] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert joined[1]["embedding"] == [1.0, 0.5]


def test_a_very_long_text_is_tokenized_whole_when_it_is_read():
    encoder = TextEncoder.learn(["good film", "bad film"] * 5, {"max_length": 8})
    text = " " * 1000 + "good film " * 10

    (value,) = encoder.split(text, has_windows=False)

    assert encoder.is_very_long(text)
    assert encoder.encode([value, "good"])[0].tolist() == value.tokens.tolist()
    assert encoder.truncation(value, value.tokens)["truncated"]["kept"] == 6
    assert encoder.split("good film", has_windows=False) == ["good film"]


def test_the_tokens_of_a_very_long_text_are_estimated_from_its_beginning():
    text = "good bad " * 50_000

    (cut,) = tokenize_long(make_tokenizer("S $A E"), text, max_length=8, has_windows=False)

    assert cut.retained == 6
    assert cut.length == pytest.approx(100_000, rel=1e-3)
