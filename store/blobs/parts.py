"""Files that a job writes in parts, to continue after the last one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.blobs.base import Blobs

_NAME: Final = re.compile(r"(\d{12})-(\d{12})-(\d+)\.jsonl")


@dataclass(frozen=True, slots=True)
class StoredPart:
    """Lines of a file for rows from `start` up to `end`; one line each."""

    key: str
    start: int
    end: int
    #: Rows that have an error in place of an output.
    bad_rows: int


def predictions_key(job_id: str) -> str:
    """Return the key below which the predictions of a job are."""
    return f"predictions/{job_id}"


def put_part(blobs: Blobs, job_id: str, path: Path, *, start: int, end: int, bad_rows: int) -> None:
    """Publish a part, completely or not at all; the file is gone afterwards."""
    blobs.put_file(f"{predictions_key(job_id)}/{start:012d}-{end:012d}-{bad_rows}.jsonl", path, move=True)


def list_parts(blobs: Blobs, job_id: str) -> list[StoredPart]:
    """Return the parts that follow each other from the first row on.

    Two runs of a job may have written parts of the same rows, with the same content: the longer one counts.
    """
    longest: dict[int, StoredPart] = {}
    for part in _all_parts(blobs, job_id):
        if part.start not in longest or longest[part.start].end < part.end:
            longest[part.start] = part
    parts, position = [], 0
    while (following := longest.get(position)) is not None:
        parts.append(following)
        position = following.end
    return parts


def _all_parts(blobs: Blobs, job_id: str) -> Iterator[StoredPart]:
    for key in blobs.keys(predictions_key(job_id)):
        match = _NAME.fullmatch(key.rpartition("/")[2])
        if match is not None and match[1] != match[2]:
            yield StoredPart(key, int(match[1]), int(match[2]), int(match[3]))
