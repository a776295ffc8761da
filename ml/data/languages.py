"""Detects the language of a text by its commonest words or its script.

Precise enough to notice that two columns have each other's names, and used for nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMON: Final[Mapping[str, str]] = {
    "en": "the of and to in is that it for with was on as at by this are be not have",
    "de": "der die und in den von zu das mit sich des auf ist im dem nicht ein eine einem als",
    "fr": "de la le et les des en un une du que est pour dans qui sur au par pas avec",
    "es": "de la que el en y los se del las un por con una su para es al lo como",
    "it": "di e il la che in un per una con del non sono da si le della dei nel alla",
    "pt": "de a o que e do da em um para com uma os no se na por mais as dos",
    "nl": "de van het een en in is dat op te zijn met voor niet aan er om ook als bij",
    "sv": "och i att det som en på är av för med till den har inte om ett var jag sig",
    "pl": "i w na z do się nie to jest że o jak po co ale za od tak przez są",
    "cs": "a v na se je že to s z do o k i jako ale za by byl po jsem",
    "tr": "ve bir bu da de için ile çok ne daha gibi olarak en ama kadar sonra var olan her değil",
}
#: Language code -> the commonest words of running text.
COMMON_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split()) for language, words in _COMMON.items()
}
#: First word of the Unicode name of a character -> the language that its script stands for here.
SCRIPT_LANGUAGES: Final[Mapping[str, str]] = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "GREEK": "el",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "THAI": "th",
}
#: Names and ISO 639-2 codes of languages -> ISO 639-1 code.
LANGUAGE_NAMES: Final[Mapping[str, str]] = {
    "english": "en",
    "eng": "en",
    "german": "de",
    "deutsch": "de",
    "deu": "de",
    "ger": "de",
    "french": "fr",
    "fra": "fr",
    "fre": "fr",
    "spanish": "es",
    "spa": "es",
    "italian": "it",
    "ita": "it",
    "portuguese": "pt",
    "por": "pt",
    "dutch": "nl",
    "nld": "nl",
    "swedish": "sv",
    "swe": "sv",
    "polish": "pl",
    "pol": "pl",
    "czech": "cs",
    "ces": "cs",
    "turkish": "tr",
    "tur": "tr",
    "chinese": "zh",
    "zho": "zh",
    "japanese": "ja",
    "jpn": "ja",
    "korean": "ko",
    "kor": "ko",
    "russian": "ru",
    "rus": "ru",
    "greek": "el",
    "arabic": "ar",
    "hebrew": "he",
    "hindi": "hi",
    "thai": "th",
}
#: Language codes that can be detected.
LANGUAGES: Final = frozenset({*COMMON_WORDS, *SCRIPT_LANGUAGES.values()})
#: Fraction of all words that must be common words of a language; the twenty commonest make up 0.25 and more of a text.
MIN_FRACTION: Final = 0.1
#: Common words of the best language to those of the next one.
MIN_RATIO: Final = 1.5
#: Distinct words, the most frequent first, whose script is looked up.
MAX_WORDS: Final = 20_000
_WORD: Final = re.compile(r"[^\W\d_]+")
#: Characters of scripts without spaces between words: Thai, Japanese, Chinese.
_UNSPACED: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lowercase; of a script without spaces, its characters."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold()):
        words += word if _UNSPACED.match(word) else [word]
    return words


def detect_language(counts: Mapping[str, int]) -> str | None:
    """Return the ISO 639-1 code of the language with these word counts.

    None if no known language has clearly the most common words.
    """
    total = sum(counts.values())
    scores = {language: sum(counts.get(word, 0) for word in words) for language, words in COMMON_WORDS.items()}
    for word, count in sorted(counts.items(), key=lambda item: -item[1])[:MAX_WORDS]:
        if not word[0].isascii():
            script = unicodedata.name(word[0], "").partition(" ")[0]
            if script in SCRIPT_LANGUAGES:
                scores[SCRIPT_LANGUAGES[script]] = scores.get(SCRIPT_LANGUAGES[script], 0) + count
    if scores.get("ja"):
        # Japanese text has many Chinese characters, and Chinese text has no kana.
        scores["ja"] += scores.pop("zh", 0)
    first, second = sorted(scores, key=lambda language: -scores[language])[:2]
    is_clear = scores[first] >= MIN_FRACTION * total and scores[first] >= MIN_RATIO * scores[second]
    return first if total and is_clear else None


def parse_language(name: str) -> str | None:
    """Return the language in the name of a column or file, or None.

    Names are `en`, `en-GB`, `translation.de`, `german` and the like.
    """
    last = name.strip().lower().rpartition(".")[2]
    code = re.split(r"[-_]", last)[0]
    language = LANGUAGE_NAMES.get(code, code)
    return language if language in LANGUAGES else None
