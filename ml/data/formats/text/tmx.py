"""TMX: translation memories, the XML that translation tools exchange, read as a stream."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.files.xml import XmlReader
from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.limits import Limits

SURE: Final = 3.0
_CHUNK_BYTES: Final = 1 << 18
#: Units by which the two languages are detected.
_INSPECTED_UNITS: Final = 1000
#: Elements within a segment that hold markup of the original document, not text.
_MARKUP_ELEMENTS: Final = frozenset({"bpt", "ept", "it", "ph", "ut"})
#: Those that stand for something between two words, such as a line break; the others begin and end a format.
_SEPARATING_ELEMENTS: Final = frozenset({"it", "ph", "ut"})
#: Stands in a segment for such an element; no text of XML contains it.
_CODE: Final = "\0"
_CODE_IN_WORD: Final = re.compile(rf"(?<=[\w.!?,;:]){_CODE}+(?=\w)")


@dataclass(slots=True)
class _Unit:
    """One translation unit `<tu>`: its texts by language."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)


class Tmx(Format):
    """The user chooses the languages with `columns` (`{"text": "en", "target": "de"}`).

    By default the source is the header's `srclang` and the target the most frequent other language. `en` stands for
    `en-GB`, too.
    """

    name = "tmx"
    summary = "TMX: translation memories, as translation tools export them"
    columns: ClassVar[Mapping[str, str]] = {"text": "text", "target": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text"})
    has_columns = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign if all file names end in `.tmx`, perhaps compressed."""
        if not super().detect(sources, required):
            return 0
        return SURE if all(source.name.lower().removesuffix(".gz").endswith(".tmx") for source in sources) else 0

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        yield from self.read_files(self._read_file)

    def _read_file(self, source: UploadedFile) -> Iterator[Batch]:
        parser = _Parser(self.limits.max_text_characters)
        languages: tuple[str, str] | None = None
        row = 0
        pending: list[_Unit] = []
        for units in parser.parse(source, self.limits):
            pending += units
            if languages is None and len(pending) >= _INSPECTED_UNITS:
                languages = self._choose_languages(pending, parser.source_language)
            while languages and len(pending) >= ROWS_PER_BATCH:
                yield from self._batch(pending[:ROWS_PER_BATCH], languages, source, row)
                row, pending = row + ROWS_PER_BATCH, pending[ROWS_PER_BATCH:]
        if pending:
            languages = languages or self._choose_languages(pending, parser.source_language)
            yield from self._batch(pending, languages, source, row)
        unread = UnreadFields()
        at = Location(file=source.name)
        for name, count in parser.unread.items():
            unread.add(name, at, count)
        for language, count in parser.languages.items():
            if languages and not any(_matches(language, chosen) for chosen in languages):
                unread.add(f"tuv.{language}", at, count)
        unread.report(self.issues, read=" and ".join(languages or ()))

    def _choose_languages(self, units: Sequence[_Unit], header_language: str | None) -> tuple[str, str]:
        """Return source and target language; raises `DataRejected` if the units have not both of them."""
        counts: dict[str, int] = {}
        for unit in units:
            for language in unit.texts:
                counts[language] = counts.get(language, 0) + 1
        requests = {canonical: str(language).lower() for canonical, language in self.requested_columns.items()}
        if set(requests) - set(self.columns):
            raise DataRejected("invalid_columns", actual=", ".join(requests), expected="text and target")
        languages = sorted(counts, key=lambda language: -counts[language])
        source = requests.get("text") or _find_language(header_language, languages) or next(iter(languages), "")
        if "target" in requests and "text" not in requests and _matches(source, requests["target"]):
            source = _first_other_language(languages, requests["target"])
        target = requests.get("target") or _first_other_language(languages, source)
        if _find_language(source, languages) is None or _find_language(target, languages) is None:
            expected = ", ".join(requests.values()) or "two languages"
            raise DataRejected("tmx_languages", actual=", ".join(languages) or "no language", expected=expected)
        self.detected_columns = self.detected_columns or {"text": source, "target": target}
        return source, target

    def _batch(
        self, units: Sequence[_Unit], languages: tuple[str, str], source: UploadedFile, row: int
    ) -> Iterator[Batch]:
        """Convert units to rows; an incomplete unit becomes an issue.

        `row` is the number of rows before them.
        """
        if row + len(units) > self.limits.max_rows:
            raise DataRejected("too_many_rows", expected=f"at most {self.limits.max_rows:,} rows")
        rows: list[tuple[int, int, list[str]]] = []
        for number, unit in enumerate(units, start=row + 1):
            texts = [_find_text(unit.texts, language) for language in languages]
            if None in texts:
                at = Location(file=source.name, line=unit.line, row=number)
                actual = ", ".join(unit.texts) or "nothing"
                missing = languages[texts.index(None)]
                self.issues.add("tmx_unit_incomplete", at=at, actual=actual, expected=missing, rows=1)
            else:
                rows.append((number, unit.line, [text or "" for text in texts]))
        if rows:
            columns = {name: [texts[side] for _, _, texts in rows] for side, name in enumerate(self.columns)}
            numbers = np.array([number for number, _, _ in rows], dtype=np.int64)
            lines = np.array([line for _, line, _ in rows], dtype=np.int64)
            yield Batch(columns, Locations(source.name, rows=numbers, lines=lines), source.split)


class _Parser:
    """Assembles units from the events of an XML reader."""

    def __init__(self, max_characters: int) -> None:
        self.source_language: str | None = None
        self._max_characters = max_characters
        self._xml = XmlReader(on_start=self._start, on_end=self._end, on_text=self._add_text)
        #: Depth of elements below a markup element; 0 outside of one.
        self._markup_depth = 0
        #: Number of attributes and elements that are not read, and of texts by language.
        self.unread: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self._segment: list[str] | None = None
        self._length = 0
        self._language = ""
        self._unit: _Unit | None = None
        self._finished: list[_Unit] = []

    def parse(self, source: UploadedFile, limits: Limits) -> Iterator[list[_Unit]]:
        """Yield the units of one chunk after another.

        Raises `DataRejected` if the XML is invalid or not allowed.
        """
        with source.open(limits) as file:
            while True:
                chunk = file.read(_CHUNK_BYTES)
                self._xml.feed(chunk, is_last=not chunk)
                yield self._finished
                self._finished = []
                if not chunk:
                    return

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._segment is not None:
            self._markup_depth += bool(self._markup_depth) or name in _MARKUP_ELEMENTS
            if self._markup_depth == 1 and name in _MARKUP_ELEMENTS:
                self.unread["inline codes"] += 1
                self._segment += [_CODE] if name in _SEPARATING_ELEMENTS else []
        elif name == "header":
            self.unread.update(f"header.{key}" for key in attributes if key != "srclang")
            language = attributes.get("srclang", "").lower()
            self.source_language = None if language in ("", "*all*") else language
        elif name == "tu":
            self.unread.update(f"tu.{key}" for key in attributes)
            self._unit = _Unit(self._xml.location.line or 0)
        elif name in ("note", "prop"):
            self.unread[name] += 1
        elif name == "tuv":
            self._language = (attributes.get("xml:lang") or attributes.get("lang") or "").lower()
        elif name == "seg" and self._unit is not None:
            self._segment, self._length, self._markup_depth = [], 0, 0

    def _end(self, name: str) -> None:
        if self._segment is not None and name == "seg":
            if self._unit is not None and self._language:
                self.languages[self._language] += 1
                self._unit.texts.setdefault(self._language, _join_segment(self._segment))
            self._segment = None
        elif self._segment is not None:
            self._markup_depth -= bool(self._markup_depth)
        elif name == "tu" and self._unit is not None:
            self._finished.append(self._unit)
            self._unit = None

    def _add_text(self, data: str) -> None:
        if self._segment is None or self._markup_depth:
            return
        self._length += len(data)
        if self._length > self._max_characters:
            expected = f"at most {self._max_characters:,} characters"
            raise DataRejected("text_too_long", expected=expected, at=self._xml.location)
        self._segment.append(data)


def _join_segment(parts: Sequence[str]) -> str:
    """Return the text of a segment.

    An element that alone divides two words becomes a blank.
    """
    text = _CODE_IN_WORD.sub(" ", "".join(parts)).replace(_CODE, "")
    return " ".join(text.split())


def _matches(language: str, choice: str) -> bool:
    """Return whether one language includes the other: `en` and `en-GB`, but not `en-US` and `en-GB`."""
    return language == choice or language.startswith(f"{choice}-") or choice.startswith(f"{language}-")


def _find_language(language: str | None, candidates: Iterable[str]) -> str | None:
    """Return the first candidate that matches `language`."""
    return next((candidate for candidate in candidates if language and _matches(candidate, language)), None)


def _first_other_language(candidates: Iterable[str], language: str) -> str:
    """Return the first candidate that does not match `language`; "" without any."""
    return next((candidate for candidate in candidates if not _matches(candidate, language)), "")


def _find_text(texts: Mapping[str, str], language: str) -> str | None:
    return next((text for text_language, text in texts.items() if _matches(text_language, language)), None)
