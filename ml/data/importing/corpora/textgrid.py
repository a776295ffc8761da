"""TextGrid of Praat: intervals with a text, in tiers, beside audio clips.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEADER: Final = "ooTextFile"
#: A quote within a text is doubled. Numbers of items stand in brackets.
_TOKEN: Final = re.compile(r'"((?:[^"]|"")*)"|(?<![\w\[.])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\]])|(<exists>)')
_INTERVALS: Final = "IntervalTier"
#: Tiers of single words, whose texts are joined, and tiers that are no words.
_WORDS: Final = re.compile(r"(?:.*\W)?(words?|ort(ho(graphy)?)?|mots?)", re.IGNORECASE)
_SOUNDS: Final = re.compile(r"(?:.*\W)?(phon(e|eme|es|emes)?|segments?|syll\w*|mau|kan|tones?|notes?)", re.IGNORECASE)
#: Texts that stand for silence.
_SILENCE: Final = frozenset({"", "sil", "sp", "spn", "<sil>", "<p:>", "<eps>", "#", "_"})


class _Interval(NamedTuple):
    start: float
    end: float
    text: str


class _Tier(NamedTuple):
    name: str
    intervals: Sequence[_Interval]


def read_segments(text: str) -> Iterator[dict[str, Any]]:
    """Yield the text of a clip by a tier of words, or of intervals.

    Several such tiers are those of several speakers. Nothing is yielded for other files.
    """
    tiers = [tier for tier in _read_tiers(text) if tier.intervals and not _SOUNDS.fullmatch(tier.name)]
    words = [tier for tier in tiers if _WORDS.fullmatch(tier.name)]
    sentences = [tier for tier in tiers if tier not in words]
    if words and not any(" " in interval.text for tier in sentences for interval in tier.intervals):
        yield {"text": " ".join(interval.text for interval in words[0].intervals)}
        return
    for tier in sentences:
        speaker = {"speaker": tier.name} if len(sentences) > 1 else {}
        for start, end, content in tier.intervals:
            yield {"start": start, "end": end, "text": content, **speaker}


def _read_tiers(text: str) -> list[_Tier]:
    """Return the tiers of intervals without silence.

    The long and the short form of a file have equal values.
    """
    values = iter([_value(match) for match in _TOKEN.finditer(text)])
    tiers: list[_Tier] = []
    if next(values, None) != _HEADER:
        return tiers
    try:
        list(islice(values, 4))  # TextGrid, start, end, <exists>
        for _ in range(int(next(values, 0))):
            kind, name, _start, _end, count = (next(values) for _ in range(5))
            width = 3 if kind == _INTERVALS else 2
            rows = [tuple(islice(values, width)) for _ in range(int(count))]
            if kind == _INTERVALS:
                intervals = [
                    _Interval(float(start), float(end), " ".join(str(row).split())) for start, end, row in rows
                ]
                spoken = [interval for interval in intervals if interval.text.lower() not in _SILENCE]
                tiers.append(_Tier(str(name).strip(), spoken))
    except (StopIteration, RuntimeError, ValueError, TypeError):
        return []
    return tiers


def _value(match: re.Match[str]) -> str:
    return match[1].replace('""', '"') if match[1] is not None else match[0]
