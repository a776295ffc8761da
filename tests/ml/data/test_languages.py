from collections import Counter

import pytest

from ml.data.languages import detect_language, parse_language, split_words

SENTENCES = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón.",
    "zh": "人人生而自由,在尊严和权利上一律平等。",
    "ja": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",  # noqa: RUF001
}


@pytest.mark.parametrize("language", SENTENCES)
def test_the_language_of_a_sentence_is_detected(language):
    assert detect_language(Counter(split_words(SENTENCES[language]))) == language


@pytest.mark.parametrize("text", ["", "42", "zzz qqq xxx", " ".join([SENTENCES["en"], SENTENCES["de"]])])
def test_no_language_is_detected_without_a_clear_lead(text):
    assert detect_language(Counter(split_words(text))) is None


@pytest.mark.parametrize(
    ("name", "language"),
    [("en", "en"), ("en-GB", "en"), ("translation.de", "de"), ("German", "de"), ("source", None), ("2", None)],
)
def test_names_of_columns_may_be_languages(name, language):
    assert parse_language(name) == language
