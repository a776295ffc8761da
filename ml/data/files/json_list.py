"""Conversion of one JSON list of objects to JSON lines, object by object."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final

from ml.data.files.text import MAX_LINE_CHARACTERS, open_text
from ml.data.issues import DataRejected, IssueLog, Location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml.data.files.upload import UploadedFile
    from ml.data.limits import Limits

_BLOCK_CHARACTERS: Final = 1 << 20
_SPACE: Final = " \t\r\n,"


def convert_to_lines(source: UploadedFile, path: Path, limits: Limits) -> UploadedFile:
    """Write the items of a list to `path`, one on each line.

    Raises `DataRejected` if the file is no valid JSON.
    """
    with (
        open_text(source, IssueLog(max_samples=0), limits) as text,
        path.open("w", encoding="utf-8", errors="surrogatepass") as lines,
    ):
        for item in _read_items(text, Location(file=source.name)):
            lines.write(json.dumps(item, ensure_ascii=False) + "\n")
    return replace(source, path=path)


def _read_items(text: IO[str], at: Location) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    buffer = text.read(_BLOCK_CHARACTERS).lstrip("\ufeff" + _SPACE)[1:]  # without the bracket
    while True:
        buffer = buffer.lstrip(_SPACE)
        if buffer.startswith("]"):
            return
        try:
            item, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            # The object may end in the next block; blocks grow with it.
            block = text.read(max(_BLOCK_CHARACTERS, len(buffer)))
            if not block or len(buffer) > MAX_LINE_CHARACTERS:
                raise DataRejected("json_invalid", actual=error, expected="a complete list", at=at) from error
            buffer += block
            continue
        yield item
        buffer = buffer[end:]
