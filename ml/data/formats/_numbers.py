"""Recognition of files that hold numbers, which no format of texts reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.files.upload import UploadedFile

_MIN_WORDS: Final = 50
_MIN_NUMBERS: Final = 0.95


def hold_numbers(sources: Sequence[UploadedFile]) -> bool:
    """Return whether nearly all words of the first bytes are numbers."""
    starts = [start for source in sources for start in source.text_starts.values()]
    words = b" ".join(starts).replace(b",", b" ").replace(b";", b" ").decode("utf-8", "replace").split()
    return len(words) >= _MIN_WORDS and sum(map(_is_number, words)) >= _MIN_NUMBERS * len(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
