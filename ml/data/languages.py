"""In which of a few languages a text is, by the words that every text of it has, or by its letters.

Enough to notice that two columns were called by one another's names; no more is asked of it.
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
WORDS: Final[Mapping[str, frozenset[str]]] = {language: frozenset(words.split()) for language, words in _COMMON.items()}
"""The commonest words of running text."""
SCRIPTS: Final[Mapping[str, str]] = {
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
"""How Unicode calls letters of a script, and the language that is meant by it here."""
NAMES: Final[Mapping[str, str]] = {
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
KNOWN: Final = frozenset({*WORDS, *SCRIPTS.values()})
LEAST_SHARE: Final = 0.1
"""Of all words; the twenty commonest make a fourth and more of a running text."""
CLEARLY: Final = 1.5
"""Times more than the next best."""
LOOKED_AT: Final = 20_000
_WORD: Final = re.compile(r"[^\W\d_]+")
_WITHOUT_BLANKS: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters that follow each other without blanks: Thai, Japanese, Chinese."""


def words_of(text: str) -> list[str]:
    """Of a text, in small letters; of a script without blanks, its letters."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold()):
        words += word if _WITHOUT_BLANKS.match(word) else [word]
    return words


def language_of(counts: Mapping[str, int]) -> str | None:
    """By how often each word is there; None where it is none of those known, or not clearly one of them."""
    total = sum(counts.values())
    found = {language: sum(counts.get(word, 0) for word in words) for language, words in WORDS.items()}
    for word, count in sorted(counts.items(), key=lambda each: -each[1])[:LOOKED_AT]:
        if not word[0].isascii():
            script = unicodedata.name(word[0], "").partition(" ")[0]
            if script in SCRIPTS:
                found[SCRIPTS[script]] = found.get(SCRIPTS[script], 0) + count
    if found.get("ja"):
        # Japanese is full of Chinese letters, and Chinese has no kana.
        found["ja"] += found.pop("zh", 0)
    first, second = sorted(found, key=lambda language: -found[language])[:2]
    clear = found[first] >= LEAST_SHARE * total and found[first] >= CLEARLY * found[second]
    return first if total and clear else None


def language_named(name: str) -> str | None:
    """That a column or file is called by: `en`, `en-GB`, `translation.de`, `german`; None for any other name."""
    last = name.strip().lower().rpartition(".")[2]
    code = re.split(r"[-_]", last)[0]
    found = NAMES.get(code, code)
    return found if found in KNOWN else None
