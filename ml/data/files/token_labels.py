"""Recognition of texts with a label for each word, as in CoNLL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ml.data.files.upload import UploadedFile

#: A word and what is said of it, the label in the last column: B-PER, I-PER, O.
_LABELED_WORD: Final = re.compile(r"\S+[ \t](?:\S+[ \t]+)*(?:O|[BIESLU]-\S+)\s*")
MIN_LINES: Final = 10


def has_token_labels(source: UploadedFile) -> bool:
    """Return whether the first lines are words with labels, divided by blank lines."""
    start = b"".join(source.text_starts.values()).decode("utf-8", "replace")
    lines = start.splitlines()[:-1]
    words = [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "#"))]
    matches = sum(_LABELED_WORD.fullmatch(line) is not None for line in words)
    return len(words) >= MIN_LINES and len(words) < len(lines) and matches > 0.9 * len(words)
