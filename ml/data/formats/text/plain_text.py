"""Texts as they are: one long one, or a file for each, perhaps in an archive."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.files.archives import list_members, read_members
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import UTF_16_MARKS, open_text, read_lines, read_text
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.archives import Member
    from ml.data.files.upload import FileContent, UploadedFile

SUFFIXES: Final = frozenset({".txt", ".text", ".md", ".rst"})
SURE: Final = 3.0
LIKELY: Final = 1.5
LOOKED_AT_BYTES: Final = 1 << 14
MOSTLY: Final = 0.8
SMALLEST_BLOCK: Final = 200
LARGEST_BLOCK: Final = 16_000
"""Letters. A long text is cut where a paragraph ends, into so many that each split has some."""
FEWEST_BLOCKS: Final = 400
HELD_OUT: Final = (("train", 0.8), ("validation", 0.9), ("test", 1.0))
"""Where in a single long text each split ends: what is measured on lies behind what was learned from."""


class PlainText(Format):
    """A single file is one long text, cut into consecutive blocks; of several files each is a text."""

    name = "plain_text"
    summary = "Plain text: one long text, held out at its end; or many files, loose or in a zip or tar, a text each"
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text", "zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """By the names; where it was not said that texts are wanted, a table may be called .txt, too."""
        if not super().detect(sources, wanted):
            return 0
        archives = [source for source in sources if source.content in ("zip", "tar")]
        names = [name for source in archives for name in source.member_names if not name.endswith("/")]
        names += [_bare(source.name) for source in sources if source.content == "text"]
        texts = sum(PurePosixPath(name).suffix.lower() in SUFFIXES for name in names)
        if texts * 2 <= len(names):
            return 0
        if wanted is not None:
            return SURE
        return 0 if any(_looks_like_a_table(source) for source in sources if source.content == "text") else LIKELY

    def read(self) -> Iterator[Batch]:
        """Archive by archive, then the loose files."""
        loose = sorted(
            (source for source in self.sources if source.content == "text"), key=lambda one: natural_sort_key(one.name)
        )
        for source in self.sources:
            if source.content != "text":
                yield from self._guarded(source, self._read_archive(source))
        alone = len(self.sources) == 1
        for source in loose:
            if alone or source.split is not None:
                yield from self._guarded(source, self._read_long(source))
        documents = [] if alone else [source for source in loose if source.split is None]
        yield from self._batches((source.name, self._whole(source)) for source in documents)

    def _guarded(self, source: UploadedFile, batches: Iterator[Batch]) -> Iterator[Batch]:
        try:
            yield from batches
        except DataRejected as refused:
            self.issues.record(refused, at=refused.at or Location(file=source.name))

    def _read_long(self, source: UploadedFile) -> Iterator[Batch]:
        """In blocks; where nothing says which split it is, its end is held out."""
        with open_text(source, type(self.issues)(max_samples=0), self.limits) as text:
            total = sum(len(line) for line in read_lines(text))
        block = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, total // FEWEST_BLOCKS))
        parts = HELD_OUT if source.split is None else ((source.split, 1.0),)
        texts: list[str] = []
        begun: list[int] = []
        read = part = row = 0
        with open_text(source, self.issues, self.limits) as text:
            for line, piece in _blocks(read_lines(text), block):
                texts.append(piece)
                begun.append(line)
                read += len(piece)
                over = part + 1 < len(parts) and read >= parts[part][1] * total
                if over or read >= total or len(texts) >= ROWS_PER_BATCH:
                    rows = range(row + 1, row + 1 + len(texts))
                    yield Batch({"text": texts}, Locations(source.name, rows, np.array(begun)), parts[part][0])
                    texts, begun, row = [], [], row + len(texts)
                part += over

    def _read_archive(self, source: UploadedFile) -> Iterator[Batch]:
        chosen: dict[str, Member] = {}
        for member in list_members(source, self.issues, self.limits):
            if PurePosixPath(member.parts[-1]).suffix.lower() in SUFFIXES:
                chosen[member.file] = member
            else:
                self.issues.add("file_ignored", at=Location(file=member.file), expected=", ".join(sorted(SUFFIXES)))
        read = read_members(source, chosen, self.issues, self.limits)
        yield from self._batches((file, self._decoded(file, content)) for file, content in read)

    def _batches(self, documents: Iterable[tuple[str, str | None]]) -> Iterator[Batch]:
        texts: list[str] = []
        files: list[str] = []
        weight = 0
        for file, text in documents:
            if text is None:
                continue
            texts.append(text)
            files.append(file)
            weight += len(text)
            if len(texts) >= ROWS_PER_BATCH or weight > BYTES_PER_BATCH:
                yield Batch({"text": texts}, Locations(files), None)
                texts, files, weight = [], [], 0
        if texts:
            yield Batch({"text": texts}, Locations(files), None)

    def _whole(self, source: UploadedFile) -> str | None:
        try:
            with open_text(source, self.issues, self.limits) as text:
                return "".join(read_lines(text))
        except DataRejected as refused:
            self.issues.record(refused, at=refused.at or Location(file=source.name))
            return None

    def _decoded(self, file: str, content: bytes | DataRejected) -> str | None:
        if isinstance(content, DataRejected):
            self.issues.record(content, at=Location(file=file), rows=1)
            return None
        try:
            return read_text(file, content, self.issues)
        except DataRejected as refused:
            self.issues.record(refused, rows=1)
            return None


def _blocks(text: Iterable[str], letters: int) -> Iterator[tuple[int, str]]:
    """Consecutive parts of about so many letters and the lines they begin on, cut at a blank line if one comes soon."""
    held: list[str] = []
    length, begun = 0, 1
    for number, line in enumerate(text, start=1):
        for piece in (line[start : start + letters] for start in range(0, len(line), letters)):
            held.append(piece)
            length += len(piece)
            if (length >= letters and not piece.strip()) or length >= 2 * letters:
                yield begun, "".join(held)
                held, length, begun = [], 0, number + 1
    if held:
        yield begun, "".join(held)


def _looks_like_a_table(source: UploadedFile) -> bool:
    """Whether nearly every line of its beginning is parted as often as the first by one of the usual signs."""
    if source.compression is not None:
        return False
    with source.path.open("rb") as file:
        data = file.read(LOOKED_AT_BYTES)
    start = data.decode("utf-16" if data.startswith(UTF_16_MARKS) else "utf-8", "replace").split("\n")[:-1]
    for sign in ",\t;|":
        counts = [line.count(sign) for line in start]
        if counts and counts[0] and counts.count(counts[0]) >= MOSTLY * len(counts):
            return True
    return False


def _bare(name: str) -> str:
    """Without the suffix of a compression."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in (".gz", ".bz2", ".xz") else name
