"""Class files: lines of text per class, such as `rt-polarity.pos` and `.neg`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.text import open_text, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.files.upload import UploadedFile
    from ml.data.importing.corpora.base import CorpusFiles

#: Classes that files of one corpus are named by.
_CLASSES: Final = (
    {"pos", "neg", "neu"},
    {"positive", "negative", "neutral"},
    {"spam", "ham"},
    {"true", "fake"},
    {"real", "fake"},
    {"toxic", "nontoxic"},
)
_SUFFIX: Final = re.compile(r"\.(txt|text)$", re.IGNORECASE)
_WORD: Final = re.compile(r"(?:.*[._ -])?([a-z]+)", re.IGNORECASE)


def read(upload: CorpusFiles) -> None:
    """Replace such files by rows of a text and its class."""
    words = {source.name: _word_of(source) for source in upload.sources}
    names = set(words.values())
    if len(names) < 2 or not any(names <= classes for classes in _CLASSES):
        return
    sources = list(upload.sources)
    upload.remove(words.keys())
    for source in sources:
        upload.add_rows(source.name, _rows(source, words[source.name], upload))
        upload.sources[-1] = replace(upload.sources[-1], requested_split=source.requested_split)


def _word_of(source: UploadedFile) -> str:
    """Return the last word of the name of a text; empty for another file."""
    name = _SUFFIX.sub("", source.name.rpartition("/")[2])
    match = _WORD.fullmatch(name) if source.content == "text" else None
    return match[1].lower() if match else ""


def _rows(source: UploadedFile, label: str, upload: CorpusFiles) -> Iterator[dict[str, Any]]:
    with open_text(source, upload.issues, upload.limits) as text:
        for line in read_lines(text):
            if line.strip():
                yield {"text": line.strip(), "label": label}
