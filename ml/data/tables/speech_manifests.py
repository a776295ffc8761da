"""Lists of recordings and what is said in them, in the layouts in which speech is published.

- Hugging Face's audiofolder: `metadata.csv` or `metadata.jsonl` with `file_name` and a text
- NeMo: JSON lines with `audio_filepath` and `text`
- Common Voice: TSV with `path` and `sentence`
- LJSpeech: `metadata.csv` without a header, name | text | normalised text, the recordings in `wavs/`
- LibriSpeech: text files without a header, the name up to the first blank, the text behind it
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.audio import SUFFIXES
from ml.data.files.text import read_text
from ml.data.files.upload import find_split, parse_split
from ml.data.issues import DataRejected, Location
from ml.data.tables.column_aliases import ALIASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ml.data.issues import IssueLog

FILE_NAMES: Final = (
    "file_name",
    "audio_filepath",
    "path",
    "filename",
    "file",
    "audio",
    "wav",
    "audio_file",
    "clip",
    "id",
)
"""What the column that names the recording is called, the likeliest first; compared without case."""
SPLIT_NAMES: Final = ("split", "subset", "partition")
_WRITTEN: Final = "written"
"""The text as it is printed, beside that with numbers spelled out; of use where the latter is empty."""
_LONGEST_CELL: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: which recording, and its text and speaker where it names them."""

    name: str
    text: str | None
    speaker: str | None
    split: str | None
    at: Location

    def with_what_it_lacks(self, other: Entry) -> Entry | None:
        """What both say together, the place being ours; None where they say different texts or speakers."""
        told = {name: (getattr(self, name), getattr(other, name)) for name in ("text", "speaker", "split")}
        if any(None not in pair and pair[0] != pair[1] for name, pair in told.items() if name != "split"):
            return None
        return replace(self, **{name: mine if mine is not None else theirs for name, (mine, theirs) in told.items()})


def entries(name: str, content: bytes, asked: Mapping[str, str | int], issues: IssueLog) -> Iterator[Entry]:
    """Every line of a list; one that cannot be read is a finding.

    `asked` says by canonical column what it is called here. Raises `DataRejected` where no column names recordings.
    """
    text = read_text(name, content, issues)
    read = _json_lines if text.lstrip()[:1] == "{" else _table
    split = find_split(name)
    for at, record in read(name, text, issues):
        yield _entry(record, asked, split, at)


class Recordings:
    """The recordings of an archive, found by the names that lists give them."""

    def __init__(self, files: Iterable[str]) -> None:
        """`files` as `Member.file` has them: `archive.zip/folder/name.wav`."""
        self.files = list(files)
        self._by_tail: dict[str, list[str]] = {}
        for file in self.files:
            parts = PurePosixPath(file).parts
            for start in range(1, len(parts)):
                tail = "/".join(parts[start:])
                for key in {tail, str(PurePosixPath(tail).with_suffix(""))}:
                    self._by_tail.setdefault(key, []).append(file)

    def find(self, name: str, beside: str) -> str | None:
        """The file that a list at `beside` calls `name`; None where there is none, or several that it could be.

        As it stands there; below the list's own folder; then by ever fewer of its folders, as a list made on another
        computer has paths of that computer.
        """
        parts = PurePosixPath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/")).parts
        folder = PurePosixPath(beside).parent
        for start in range(len(parts)):
            tail = "/".join(part for part in parts[start:] if part not in (".", "..", "/"))
            found = self._by_tail.get(tail, [])
            near = [file for file in found if PurePosixPath(file).is_relative_to(folder)]
            for candidates in (near, found):
                if len(candidates) == 1:
                    return candidates[0]
        return None


def is_list(name: str) -> bool:
    """Whether a file may be a list, by its suffix."""
    return PurePosixPath(name).suffix.lower() in {".csv", ".tsv", ".json", ".jsonl", ".txt"}


def is_recording(name: str) -> bool:
    """Whether a file may be a recording, by its suffix."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _json_lines(name: str, text: str, issues: IssueLog) -> Iterator[tuple[Location, dict[str, Any]]]:
    row = 0
    for line, content in enumerate(io.StringIO(text), start=1):
        if not content.strip():
            continue
        row += 1
        at = Location(file=name, line=line, row=row)
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            issues.add("json_invalid", at=at, actual=error, rows=1)
            continue
        if isinstance(record, dict):
            yield at, {str(key).strip().lower(): value for key, value in record.items()}
        else:
            issues.add("json_not_an_object", at=at, actual=content.strip(), expected="an object", rows=1)


def _table(name: str, text: str, issues: IssueLog) -> Iterator[tuple[Location, dict[str, Any]]]:
    rows = _cells(text)
    try:
        line, cells = next(rows)
        header = [cell.strip().lower() for cell in cells]
        pending: list[tuple[int, list[str]]] = []
        if not set(header) & set(FILE_NAMES):
            # Without a header: name and text, and with a third column a text with numbers spelled out.
            pending, header = (
                [(line, cells)],
                ["file_name", _WRITTEN, "text"] if len(cells) > 2 else ["file_name", "text"],
            )
        row = 0
        for line, cells in (*pending, *rows):
            row += 1
            at = Location(file=name, line=line, row=row)
            if len(cells) != len(header):
                found, expected = f"{len(cells)} cells", f"{len(header)}, as in the first row"
                issues.add("ragged_row", at=at, actual=found, expected=expected, rows=1)
                continue
            yield at, dict(zip(header, cells, strict=True))
    except StopIteration:
        return
    except csv.Error as error:
        raise DataRejected("bad_quoting", actual=error, at=Location(file=name)) from error


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every line that has any; parted by what parts the first, or at its first blank."""
    first = text.partition("\n")[0]
    delimiter = max("|\t,;", key=first.count)
    if delimiter not in first:
        for line, content in enumerate(io.StringIO(text), start=1):
            if content.strip():
                yield line, content.strip().split(maxsplit=1)
        return
    # LJSpeech quotes nothing: a quote there is one that was spoken of.
    quote = None if delimiter == "|" else '"'
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(
        io.StringIO(text), delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    )
    yield from ((reader.line_num, cells) for cells in reader if cells)


def _entry(record: Mapping[str, Any], asked: Mapping[str, str | int], split: str | None, at: Location) -> Entry:
    name = _value(record, asked, "audio", FILE_NAMES)
    if name is None:
        found, expected = ", ".join(record), f"a column named like {', '.join(FILE_NAMES[:4])}"
        raise DataRejected("no_columns", actual=found, expected=expected, at=at)
    said = _value(record, {}, "split", SPLIT_NAMES)
    return Entry(
        name=name,
        text=_value(record, asked, "text", (*ALIASES["text"], _WRITTEN)),
        speaker=_value(record, asked, "speaker", ALIASES["speaker"]),
        split=(parse_split(said) if said else None) or split,
        at=at,
    )


def _value(
    record: Mapping[str, Any], asked: Mapping[str, str | int], canonical: str, names: Sequence[str]
) -> str | None:
    chosen = [str(asked[canonical]).lower()] if canonical in asked else names
    told = [str(record[name]) for name in chosen if record.get(name) is not None]
    return next((each for each in told if each.strip()), told[0] if told else None)
