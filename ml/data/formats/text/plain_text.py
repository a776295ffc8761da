"""Plain texts: one long text, or a file per text, loose or in an archive."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.files.archives import list_members, read_members
from ml.data.files.ignored import is_ignored
from ml.data.files.natural_sort import natural_sort_key
from ml.data.files.text import UTF_16_MARKS, open_text, read_lines, read_text
from ml.data.files.upload import find_split, folder_splits
from ml.data.formats._markup import MARKUP_SUFFIXES, find_markup, strip_markup
from ml.data.formats._numbers import hold_numbers
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.formats.text._language_names import are_pairs
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

#: WikiExtractor's `wiki_00`, and WikiText's `wiki.train.tokens`.
_WIKI: Final = re.compile(r"wiki_\d\d+|wiki\.(train|valid|test)\.(tokens|raw)")
SUFFIXES: Final = frozenset({".txt", ".text", ".md", ".rst", *MARKUP_SUFFIXES})
COMPRESSION_SUFFIXES: Final = (".gz", ".bz2", ".xz")
SURE: Final = 3.0
LIKELY: Final = 1.5
INSPECTED_BYTES: Final = 1 << 14
#: Fraction of lines with as many delimiters as the first from which on a file is a table.
MIN_REGULAR_FRACTION: Final = 0.8
#: A long text is divided at the ends of paragraphs into blocks within these limits, enough for all splits.
MIN_BLOCK_CHARACTERS: Final = 200
MAX_BLOCK_CHARACTERS: Final = 16_000
MIN_BLOCKS: Final = 400
#: End of each split in a single long text, as a fraction: validation and test follow the training text.
SPLIT_ENDS: Final = (("train", 0.8), ("validation", 0.9), ("test", 1.0))


class PlainText(Format):
    """One long text, divided into consecutive blocks; or several files of one text each."""

    name = "plain_text"
    summary = (
        "Plain text: one long text, held out at its end; or many files, loose or in a zip or tar, one text each; "
        "subtitles and HTML as the text that they show"
    )
    columns: ClassVar[Mapping[str, str]] = {"text": "text"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"text", "zip", "tar"})

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Judge by the suffixes, and without a task also by the content.

        A .txt file may be a table.
        """
        if not super().detect(sources, required):
            return 0
        if required is None and hold_numbers(sources):
            return 0
        archives = [source for source in sources if source.content in ("zip", "tar")]
        names = [name for source in archives for name in source.member_names if not name.endswith("/")]
        members = [name for name in names if not is_ignored(name)]
        if archives and len(members) == 1 and required is None:
            return 0  # it is unpacked first: one file may be a table or one long text
        if required is None and len(members) > 1 and are_pairs(members):
            return 0  # it is unpacked first: texts in two languages
        names += [_strip_compression(source.name) for source in sources if source.content == "text"]
        # WikiExtractor's files have no suffix: `AA/wiki_00`.
        bare = [name for name in names if _is_extracted(name)]
        text_count = len(bare) + sum(PurePosixPath(name).suffix.lower() in SUFFIXES for name in names)
        if text_count * 2 <= len(names):
            return 0
        if required is not None:
            return SURE
        return 0 if any(_is_table(source) for source in sources if source.content == "text") else LIKELY

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one archive after another, then those of the loose files."""
        loose = [source for source in self.sources if source.content == "text"]
        loose.sort(key=lambda source: natural_sort_key(source.name))
        for source in self.sources:
            if source.content != "text":
                yield from self._record_rejection(source, self._read_archive(source))
        is_single = len(self.sources) == 1
        for source in loose:
            if is_single or source.split is not None:
                yield from self._record_rejection(source, self._read_long(source))
        documents = [] if is_single else [source for source in loose if source.split is None]
        yield from self._batches(((source.name, self._read_whole(source)) for source in documents), {})

    def _record_rejection(self, source: UploadedFile, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches until the source is rejected, which becomes an issue."""
        try:
            yield from batches
        except DataRejected as rejection:
            self.issues.record(rejection, at=rejection.at or Location(file=source.name))

    def _read_long(self, source: UploadedFile) -> Iterator[Batch]:
        """Yield a long text in blocks.

        Its end is held out unless the source has a split.
        """
        silent_issues = type(self.issues)(max_samples=0)
        with open_text(source, silent_issues, self.limits) as text:
            total = sum(len(line) for line in strip_markup(read_lines(text), source.name, silent_issues))
        block_characters = min(MAX_BLOCK_CHARACTERS, max(MIN_BLOCK_CHARACTERS, total // MIN_BLOCKS))
        split_ends = SPLIT_ENDS if source.split is None else ((source.split, 1.0),)
        blocks: list[str] = []
        first_lines: list[int] = []
        read_characters = split_index = row = 0
        with open_text(source, self.issues, self.limits) as text:
            for line, block in _divide(strip_markup(read_lines(text), source.name, self.issues), block_characters):
                blocks.append(block)
                first_lines.append(line)
                read_characters += len(block)
                split, end = split_ends[split_index]
                is_split_full = split_index + 1 < len(split_ends) and read_characters >= end * total
                if is_split_full or read_characters >= total or len(blocks) >= ROWS_PER_BATCH:
                    rows = range(row + 1, row + 1 + len(blocks))
                    yield Batch({"text": blocks}, Locations(source.name, rows, np.array(first_lines)), split)
                    blocks, first_lines, row = [], [], row + len(blocks)
                split_index += is_split_full

    def _read_archive(self, source: UploadedFile) -> Iterator[Batch]:
        files: set[str] = set()
        for member in list_members(source, self.issues, self.limits):
            if is_ignored(member.parts[-1]):
                self.issues.add("file_beside_data", at=Location(file=member.file))
            elif PurePosixPath(member.parts[-1]).suffix.lower() in SUFFIXES or _is_extracted(member.file):
                files.add(member.file)
            else:
                expected = ", ".join(sorted(SUFFIXES))
                self.issues.add("file_ignored", at=Location(file=member.file), expected=expected)
        splits = _splits_of(files, source)
        contents = read_members(source, files, self.issues, self.limits)
        if len(files) > 1 and len(set(splits.values())) == len(files):
            # A file for each split holds a long text, as in WikiText.
            for file, content in contents:
                if (text := self._decode(file, content)) is not None:
                    yield from self._divide_long(file, text, splits[file])
            return
        yield from self._batches(((file, self._decode(file, content)) for file, content in contents), splits)

    def _divide_long(self, file: str, text: str, split: str | None) -> Iterator[Batch]:
        """Yield the blocks of a long text of one split."""
        block_characters = min(MAX_BLOCK_CHARACTERS, max(MIN_BLOCK_CHARACTERS, len(text) // MIN_BLOCKS))
        blocks = list(_divide(text.splitlines(keepends=True), block_characters))
        for start in range(0, len(blocks), ROWS_PER_BATCH):
            part = blocks[start : start + ROWS_PER_BATCH]
            lines = np.array([line for line, _ in part])
            locations = Locations(file, range(start + 1, start + len(part) + 1), lines)
            yield Batch({"text": [block for _, block in part]}, locations, split)

    def _batches(
        self, documents: Iterable[tuple[str, str | None]], splits: Mapping[str, str | None]
    ) -> Iterator[Batch]:
        """Group the texts into batches of one split."""
        pending: dict[str | None, list[tuple[str, str]]] = {}
        character_counts: Counter[str | None] = Counter()
        for file, text in documents:
            if text is None:
                continue
            split = splits.get(file)
            pending.setdefault(split, []).append((file, text))
            character_counts[split] += len(text)
            if len(pending[split]) >= ROWS_PER_BATCH or character_counts[split] > BYTES_PER_BATCH:
                yield _batch(pending.pop(split), split)
                character_counts[split] = 0
        for split, rows in pending.items():
            yield _batch(rows, split)

    def _read_whole(self, source: UploadedFile) -> str | None:
        """Return the text of a loose file, or None if it is rejected.

        The rejection becomes an issue.
        """
        try:
            with open_text(source, self.issues, self.limits) as text:
                return "".join(strip_markup(read_lines(text), source.name, self.issues))
        except DataRejected as rejection:
            self.issues.record(rejection, at=rejection.at or Location(file=source.name))
            return None

    def _decode(self, file: str, content: bytes | DataRejected) -> str | None:
        """Return the text of an archived file, or None if it is rejected.

        The rejection becomes an issue.
        """
        if isinstance(content, DataRejected):
            self.issues.record(content, at=Location(file=file), rows=1)
            return None
        try:
            text = read_text(file, content, self.issues)
            return "".join(strip_markup(text.splitlines(keepends=True), file, self.issues))
        except DataRejected as rejection:
            self.issues.record(rejection, rows=1)
            return None


def _is_extracted(name: str) -> bool:
    """Return whether a file is named as those of WikiExtractor and WikiText are."""
    return _WIKI.fullmatch(PurePosixPath(name).name) is not None


def _splits_of(files: Iterable[str], source: UploadedFile) -> dict[str, str | None]:
    """Return the split of each file of an archive.

    The user's choice has precedence over folders, and those over the names of the archive and of the files. Names of
    files count only if all of them name a split: a document may be called "test".
    """
    files = sorted(files, key=natural_sort_key)
    by_folder = folder_splits(files)
    by_name = {file: find_split(PurePosixPath(file).name) for file in files}
    has_names = None not in by_name.values() and len(set(by_name.values())) > 1
    return {
        file: source.requested_split or by_folder[file] or source.split or (by_name[file] if has_names else None)
        for file in files
    }


def _batch(rows: Sequence[tuple[str, str]], split: str | None) -> Batch:
    return Batch({"text": [text for _, text in rows]}, Locations([file for file, _ in rows]), split)


def _divide(lines: Iterable[str], block_characters: int) -> Iterator[tuple[int, str]]:
    """Yield consecutive blocks with the number of the line they begin on.

    A block ends at the first blank line from `block_characters` on, at the latest at twice as many characters.
    """
    pieces: list[str] = []
    length, first_line = 0, 1
    for number, line in enumerate(lines, start=1):
        for start in range(0, len(line), block_characters):
            piece = line[start : start + block_characters]
            pieces.append(piece)
            length += len(piece)
            if (length >= block_characters and not piece.strip()) or length >= 2 * block_characters:
                yield first_line, "".join(pieces)
                pieces, length, first_line = [], 0, number + 1
    if pieces:
        yield first_line, "".join(pieces)


def _is_table(source: UploadedFile) -> bool:
    """Return whether nearly all first lines have equally many delimiters."""
    if source.compression is not None:
        return False
    with source.path.open("rb") as file:
        data = file.read(INSPECTED_BYTES)
    start = data.decode("utf-16" if data.startswith(UTF_16_MARKS) else "utf-8", "replace")
    if find_markup(start):
        return False
    lines = start.split("\n")[:-1]
    for delimiter in ",\t;|":
        counts = [line.count(delimiter) for line in lines]
        if counts and counts[0] and counts.count(counts[0]) >= MIN_REGULAR_FRACTION * len(counts):
            return True
    return False


def _strip_compression(name: str) -> str:
    """Return the name without the suffix of a compression."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in COMPRESSION_SUFFIXES else name
