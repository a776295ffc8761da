"""Samples to start with, and the archives that they are sent as."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

#: Name and content of each file of an archive.
Files = Iterator[tuple[str, bytes]]

#: One row in this many is held out for the test.
TEST_EVERY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleData:
    """A small dataset to start with. A module of `app.web.samples` defines one as `SAMPLE`."""

    title: str
    summary: str
    task: str
    #: Line drawing for the card: an SVG path in a box of 64 by 40.
    sketch: str
    place: int
    files: Callable[[], Files]
    is_available: Callable[[], bool] = lambda: True

    def archive(self) -> bytes:
        """Return all files as a zip."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as output:
            for name, content in self.files():
                output.writestr(zipfile.ZipInfo(name), content)
        return buffer.getvalue()


def split_of(number: int) -> str:
    """Return the split of a row by its number."""
    return "test" if number % TEST_EVERY == 0 else "train"
