"""Columns of speech lists that have no line of column names.

Read are name | text, as in Piper and VITS for one speaker; name | text | normalized text, as in LJSpeech; and with a
speaker, name | speaker | text, as in Piper and VITS for several, name | text | speaker, as in StyleTTS2, and
name | speaker | language | text, as in Bert-VITS2.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml.data.files.audio import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The text as printed, beside the normalized text with numbers spelled out.
PRINTED_TEXT: Final = "written"
#: A column that is neither text nor speaker, such as the language.
_OTHER: Final = "other"
#: Mean number of words beside the numbers of speakers, if none occurs twice.
_MIN_WORDS: Final = 4
#: Seconds, as in CSS10.
_DURATION: Final = re.compile(r"\d+\.\d+")
#: Maximum length of the name of a speaker.
_MAX_SPEAKER_CHARACTERS: Final = 64


def name_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each column of rows: file_name, text, speaker, ..."""
    width = len(rows[0]) if rows else 2
    rows = [row for row in rows if len(row) == width]
    if not rows:
        return ["file_name", "text"]
    columns = [[row[position].strip() for row in rows] for position in range(width)]
    if width > 2 and not any(map(_names_audio, columns[0])) and any(map(_names_audio, columns[1])):
        # FLEURS: number, name | text | normalized text | its characters | samples | gender.
        return [_OTHER, *_name_columns(columns[1:])]
    return _name_columns(columns)


def _name_columns(columns: Sequence[list[str]]) -> list[str]:
    """Return the names of all columns; the first holds the files of the clips."""
    width = len(columns)
    if width <= 2:
        return ["file_name", "text"]
    speakers = [position for position in range(1, width) if _is_speaker(columns, position)]
    if not speakers or (width > 2 and _are_texts(columns[1], columns[2])):
        return ["file_name", PRINTED_TEXT, "text", *[_OTHER] * (width - 3)]
    # A column with one value for all rows may be the language.
    speaker = max(speakers, key=lambda position: (len(set(columns[position])) > 1, -position))
    texts = [position for position in range(1, width) if position not in speakers] or [
        position for position in range(1, width) if position != speaker
    ]
    names = [_OTHER] * width
    names[0], names[speaker], names[texts[-1]] = "file_name", "speaker", "text"
    return names


def _is_speaker(columns: Sequence[Sequence[str]], position: int) -> bool:
    """Return whether a column holds speakers.

    Their names are short, without a blank, and stand in several rows, one of which says something else.
    """
    values = columns[position]
    if any(not value or len(value) > _MAX_SPEAKER_CHARACTERS or len(value.split()) > 1 for value in values):
        return False
    if all(map(_DURATION.fullmatch, values)):
        return False
    others = [tuple(column[row] for column in columns[1:]) for row, _ in enumerate(values)]
    if all(value.isdecimal() for value in values):
        # VITS numbers them. A number that stands for itself always has one text, of few words.
        words = sum(len(" ".join(row).split()) - 1 for row in others) / len(others)
        return len(set(others)) > len(set(values)) or words >= _MIN_WORDS
    return 2 * len(set(values)) <= len(values) and len(set(others)) > len(set(values))


def _are_texts(printed: Sequence[str], normalized: Sequence[str]) -> bool:
    """Return whether two columns are one text, printed and normalized.

    Some rows are then equal in both, apart from punctuation.
    """
    return any(_words(left) == _words(right) for left, right in zip(printed, normalized, strict=True) if left)


def _words(text: str) -> list[str]:
    return "".join(character if character.isalnum() else " " for character in text.casefold()).split()


def _names_audio(cell: str) -> bool:
    return PurePosixPath(cell).suffix.lower() in SUFFIXES
