"""Canonical columns that a table can bring, and the usual names of each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Canonical column -> the name of its column type.
CANONICAL_COLUMNS: Final[Mapping[str, str]] = {
    "image": "image",
    "text": "text",
    "prompt": "text",
    "target": "text",
    "label": "label",
    "objects": "objects",
    "audio": "audio",
    "speaker": "text",
}
#: Canonical column -> its usual names, the likeliest first; compared without case.
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image", "img", "picture", "photo"),
    "text": (
        *("text", "sentence", "review", "content", "document", "comment", "message", "body", "source", "src"),
        *("caption", "transcription", "transcript", "tweet", "normalized_text", "utterance"),
        *("completion", "response", "output", "answer", "chosen"),
    ),
    "prompt": ("prompt", "instruction", "question", "query", "input"),
    "target": ("target", "translation", "tgt", "reference"),
    "label": (
        *("label", "labels", "class", "target", "category", "y", "digit", "class_name", "class_label"),
        *("sentiment", "polarity", "class_id", "label_id", "category_id", "class index", "class_index", "fine_label"),
    ),
    "objects": ("objects", "annotations", "boxes"),
    "audio": ("audio", "recording", "speech", "sound", "wav", "audio_bytes", "voice"),
    "speaker": ("speaker", "speaker_id", "speaker_name", "client_id", "voice_name"),
}
#: A column of Hugging Face datasets that holds a text in several languages; read as `translation.en`, ...
TRANSLATION: Final = "translation"
#: Names of columns that number rows or name the file a row came from.
NON_DATA_NAME: Final = re.compile(
    r"|index|id|row|idx|(image|img)_?id|unnamed: ?\d+|filename|file_name|path", re.IGNORECASE
)


def position_of(canonical: str, names: list[str]) -> int | None:
    """Return the position in lower-case `names` of a name of `canonical`."""
    return next((names.index(alias) for alias in ALIASES[canonical] if alias in names), None)
