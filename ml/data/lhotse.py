"""Manifests of lhotse: audio files, supervisions and cuts, as JSON lines.

An audio file has an id and a path; a supervision names it by its id, and a part of it; a cut is a part of it with its
supervisions, whose times count from the cut. https://lhotse.readthedocs.io/en/latest/.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Field of a supervision that names its audio file by id.
RECORDING_ID: Final = "recording_id"
_SOURCES: Final = "sources"
_SUPERVISIONS: Final = "supervisions"
_RECORDING: Final = "recording"


def is_recording_list(text: str) -> bool:
    """Return whether a manifest describes audio files, and so names no text."""
    return any(_SOURCES in row for row in itertools.islice(_read_rows(text), 1))


def recording_paths(text: str) -> Iterator[tuple[str, str]]:
    """Yield the id and the path of every audio file in a manifest."""
    for row in _read_rows(text):
        recording = row.get(_RECORDING, row)
        sources = recording.get(_SOURCES) if isinstance(recording, dict) else None
        source = sources[0] if isinstance(sources, list) and sources else None
        if isinstance(source, dict) and isinstance(source.get("source"), str):
            yield str(recording.get("id")), source["source"]


def supervisions(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the supervisions of a cut, in times of its file, or the row itself."""
    items = row.get(_SUPERVISIONS)
    recording = row.get(_RECORDING)
    if not isinstance(items, list) or not isinstance(recording, dict):
        return [row]
    start = row.get("start")
    return [
        {**item, RECORDING_ID: recording.get("id"), "start": _add(start, item.get("start"))}
        for item in items
        if isinstance(item, dict)
    ]


def _add(start: Any, offset: Any) -> Any:
    """Return the sum of two times; one that is no number stays, to be reported."""
    if isinstance(start, int | float) and isinstance(offset, int | float):
        return round(start + offset, 6)
    return offset


def _read_rows(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # reported where the rows are read
        if isinstance(row, dict):
            yield row
