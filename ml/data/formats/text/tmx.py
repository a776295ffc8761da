"""Translation memories: TMX, the XML that translators' programs exchange, read as a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.files.xml import XmlReader
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

SURE: Final = 3.0
_PIECE: Final = 1 << 18
_LOOKED_AT: Final = 1000
"""Units by which the two languages are found."""
_ASIDE: Final = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Within a segment: markup of the document it came from, and no text."""


@dataclass(slots=True)
class _Unit:
    """What one `<tu>` says, by language."""

    line: int
    said: dict[str, str] = field(default_factory=dict)


class Tmx(Format):
    """Which language is translated to which, `columns` says (`{"text": "en", "target": "de"}`).

    Else it is from the header's `srclang` to the language that most units have beside it. `en` stands for `en-GB` too.
    """

    name = "tmx"
    summary = "TMX: translation memories, as programs for translators write them"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    has_columns = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """Sure, where a file begins as XML and is a TMX."""
        if not super().detect(sources, wanted):
            return 0
        return SURE if all(source.name.lower().removesuffix(".gz").endswith(".tmx") for source in sources) else 0

    def read(self) -> Iterator[Batch]:
        """File by file."""
        yield from self.read_files(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        reading = _Reading(self.limits.max_text_characters)
        sides: tuple[str, str] | None = None
        row = 0
        waiting: list[_Unit] = []
        for units in reading.units(source, self.limits):
            waiting += units
            if sides is None and len(waiting) >= _LOOKED_AT:
                sides = self._sides(waiting, reading.source_language)
            while sides and len(waiting) >= ROWS_PER_BATCH:
                yield from self._batch(waiting[:ROWS_PER_BATCH], sides, source, row)
                row, waiting = row + ROWS_PER_BATCH, waiting[ROWS_PER_BATCH:]
        if waiting:
            yield from self._batch(waiting, sides or self._sides(waiting, reading.source_language), source, row)

    def _sides(self, units: Sequence[_Unit], header: str | None) -> tuple[str, str]:
        """From which language to which; raises `DataRejected` where there are not two."""
        counts: dict[str, int] = {}
        for unit in units:
            for language in unit.said:
                counts[language] = counts.get(language, 0) + 1
        asked = {canonical: str(language).lower() for canonical, language in self.requested_columns.items()}
        if set(asked) - set(self.columns):
            raise DataRejected("invalid_columns", actual=", ".join(asked), expected="text and target")
        often = sorted(counts, key=lambda language: -counts[language])
        first = asked.get("text") or _known(header, often) or next((each for each in often), "")
        if "target" in asked and "text" not in asked and _same(first, asked["target"]):
            first = next((each for each in often if not _same(each, asked["target"])), "")
        second = asked.get("target") or next((each for each in often if not _same(each, first)), "")
        if _known(first, often) is None or _known(second, often) is None:
            found = ", ".join(often) or "no language"
            raise DataRejected("tmx_languages", actual=found, expected=", ".join(asked.values()) or "two languages")
        self.detected_columns = self.detected_columns or {"text": first, "target": second}
        return first, second

    def _batch(self, units: Sequence[_Unit], sides: tuple[str, str], source: UploadedFile, row: int) -> Iterator[Batch]:
        if row + len(units) > self.limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self.limits.max_rows:,} rows")
        kept: list[tuple[int, _Unit, list[str]]] = []
        for number, unit in enumerate(units, start=row + 1):
            said = [_in(unit.said, side) for side in sides]
            if None in said:
                lacks = sides[said.index(None)]
                at = Location(file=source.name, line=unit.line, row=number)
                has = ", ".join(unit.said) or "nothing"
                self.issues.add("tmx_unit_incomplete", at=at, actual=has, expected=lacks, rows=1)
            else:
                kept.append((number, unit, [text or "" for text in said]))
        if kept:
            columns = {name: [texts[side] for _, _, texts in kept] for side, name in enumerate(self.columns)}
            rows = np.array([number for number, _, _ in kept], dtype=np.int64)
            lines = np.array([unit.line for _, unit, _ in kept], dtype=np.int64)
            yield Batch(columns, Locations(source.name, rows=rows, lines=lines), source.split)


class _Reading:
    """What is begun, ended and written in a file, put together as units."""

    def __init__(self, longest: int) -> None:
        self.source_language: str | None = None
        self._longest = longest
        self._xml = XmlReader(on_start=self._start, on_end=self._end, on_text=self._letters)
        self._aside = 0
        self._segment: list[str] | None = None
        self._length = 0
        self._language = ""
        self._unit: _Unit | None = None
        self._done: list[_Unit] = []

    def units(self, source: UploadedFile, limits: Any) -> Iterator[list[_Unit]]:
        """Some at a time; raises `DataRejected` where it is no XML that may be read."""
        with source.open(limits) as file:
            while True:
                piece = file.read(_PIECE)
                self._xml.feed(piece, is_last=not piece)
                yield self._done
                self._done = []
                if not piece:
                    return

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._segment is not None:
            self._aside += bool(self._aside) or name in _ASIDE
        elif name == "header":
            language = attributes.get("srclang", "").lower()
            self.source_language = None if language in ("", "*all*") else language
        elif name == "tu":
            self._unit = _Unit(self._xml.location.line or 0)
        elif name == "tuv":
            self._language = (attributes.get("xml:lang") or attributes.get("lang") or "").lower()
        elif name == "seg" and self._unit is not None:
            self._segment, self._length, self._aside = [], 0, 0

    def _end(self, name: str) -> None:
        if self._segment is not None and name == "seg":
            if self._unit is not None and self._language:
                self._unit.said.setdefault(self._language, " ".join("".join(self._segment).split()))
            self._segment = None
        elif self._segment is not None:
            self._aside -= bool(self._aside)
        elif name == "tu" and self._unit is not None:
            self._done.append(self._unit)
            self._unit = None

    def _letters(self, data: str) -> None:
        if self._segment is None or self._aside:
            return
        self._length += len(data)
        if self._length > self._longest:
            expected = f"at most {self._longest:,} letters"
            raise DataRejected("text_too_long", expected=expected, at=self._xml.location)
        self._segment.append(data)


def _same(one: str, other: str) -> bool:
    """`en` and `en-GB` are; `en-US` and `en-GB` are not."""
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def _known(language: str | None, among: Sequence[str]) -> str | None:
    return next((each for each in among if language and _same(each, language)), None)


def _in(said: Mapping[str, str], side: str) -> str | None:
    return next((text for language, text in said.items() if _same(language, side)), None)
