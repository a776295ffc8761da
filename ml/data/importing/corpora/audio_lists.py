"""JSON about audio clips: lists of rows, or rows by id, as SpeechBrain writes them."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.tables.speech_manifests import FILE_COLUMN_NAMES, is_audio_file

if TYPE_CHECKING:
    from ml.data.importing.corpora.base import CorpusFiles

_SUFFIX: Final = ".json"
_START: Final = re.compile(r'\s*(\[\s*\{|\{\s*"[^"]+"\s*:\s*\{)')
#: A folder of the computer that the list was made on: `{data_root}/wavs/0.wav`.
_PLACEHOLDER: Final = re.compile(r"^(\{\w+\}|\$\w+)/")


def read(upload: CorpusFiles) -> None:
    """Replace such files by JSON lines."""
    if not any(map(is_audio_file, upload.names)):
        return
    starts = {
        f"{source.name}/{name}" if source.content in ("zip", "tar") else name: start.decode("utf-8", "replace")
        for source in upload.sources
        for name, start in source.text_starts.items()
    }
    names = [name for name in upload.names if PurePosixPath(name).suffix.lower() == _SUFFIX]
    for name, text in upload.read_texts([name for name in names if _START.match(starts.get(name, ""))]).items():
        if rows := _rows(text):
            upload.remove([name])
            upload.add_rows(f"{name}l", rows)


def _rows(text: str) -> list[dict[str, Any]]:
    """Return rows that name an audio file; empty for JSON of another kind."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return []
    column = next((name for name in FILE_COLUMN_NAMES if _names_audio(rows[0].get(name))), None)
    if column is None or not all(_names_audio(row.get(column)) for row in rows):
        return []
    return [{**row, column: _PLACEHOLDER.sub("", row[column])} for row in rows]


def _names_audio(value: Any) -> bool:
    return isinstance(value, str) and is_audio_file(value)
