import numpy as np
import pytest
from pydantic import ValidationError

from ml.encoders.characters import REPLACEMENT, UNKNOWN, CharactersConfig, CharactersEncoder


def learn(*texts: str, **options: object) -> CharactersEncoder:
    return CharactersEncoder.learn(texts, options)


def test_codes_decode_to_the_text() -> None:
    encoder = learn("zero one", "two")
    for text in ("zero", "two one", ""):
        assert encoder.decode(encoder.encode([text])[0]) == text


def test_the_alphabet_is_that_of_the_training_rows_in_any_script() -> None:
    assert learn("ba", "cab").config.alphabet == "abc"
    assert learn("你好", "好").config.alphabet == "你好"


def test_characters_are_composed_and_blanks_become_one() -> None:
    encoder = learn("e\N{COMBINING ACUTE ACCENT}  a\n")
    assert encoder.config.alphabet == " aé"
    assert encoder.normalize(" é\ta ") == "é a"


def test_an_unknown_character_is_counted_and_reported_with_its_position() -> None:
    encoder = learn("abc")

    numbers = encoder.encode(["abxcy", "cab"])

    assert [int(item) for item in np.flatnonzero(numbers[0] == UNKNOWN)] == [2, 4]
    assert encoder.decode(numbers[0]) == f"ab{REPLACEMENT}c{REPLACEMENT}"
    assert encoder.unknown_characters("abxcy") == {"x": 3, "y": 5}
    assert encoder.pop_losses() == {"with characters outside of the alphabet": 1}


def test_capitals_are_other_characters_by_default() -> None:
    assert learn("aB").config.alphabet == "Ba"
    assert learn("aB", lower_case=True).config.alphabet == "ab"
    assert learn("aB", lower_case=True).unknown_characters("AB") == {}


def test_texts_longer_than_twice_the_longest_are_cut_and_counted() -> None:
    encoder = learn("ab" * 40)
    assert len(encoder.encode(["a" * 500])[0]) == encoder.shape()["length"] == 160
    assert encoder.pop_losses() == {"cut": 1}


def test_an_alphabet_names_each_character_once() -> None:
    with pytest.raises(ValidationError, match="twice"):
        CharactersConfig(alphabet="aba", length=3)
