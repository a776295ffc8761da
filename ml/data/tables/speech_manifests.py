"""Speech manifests: lists of audio files with their transcripts and speakers.

Read are the layouts in which speech datasets are published:

- Hugging Face's audiofolder: `metadata.csv` or `metadata.jsonl` with `file_name` and a text
- NeMo: JSON lines with `audio_filepath` and `text`; `offset` and `duration` name a part of a file, in seconds
- lhotse: supervisions beside the list of audio files, and cuts
- Common Voice: TSV with `path` and `sentence`
- LJSpeech: `metadata.csv` without a header, name | text | normalized text, the audio files in `wavs/`
- LibriSpeech: text files without a header, the name up to the first blank, the text behind it
"""

from __future__ import annotations

import io
import itertools
import json
import math
import unicodedata
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ml.data import lhotse
from ml.data.files.audio import SUFFIXES
from ml.data.files.text import read_text
from ml.data.files.upload import find_split, parse_split
from ml.data.issues import DataRejected, Location
from ml.data.tables.column_aliases import ALIASES
from ml.data.tables.manifests import DialectDetection, check_width
from ml.data.tables.records import Dialect, Record, read_records
from ml.data.tables.unnamed_speech_columns import PRINTED_TEXT, name_columns
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ml.data.issues import IssueLog

#: Usual names of the column of audio files, the likeliest first; compared without case.
FILE_COLUMN_NAMES: Final = (
    "file_name",
    "audio_filepath",
    "path",
    "filename",
    "file",
    "audio",
    "wav",
    "audio_file",
    "clip",
    "audio_path",
    "wav_path",
    "filepath",
    "file_path",
    "fname",
    "slice_file_name",
    "wav_filename",  # DeepSpeech
    "wav_file",
    "audio_filename",
    "audio_id",
    "recording_id",
    "id",
)
#: Usual names of the column of texts; fairseq's lists for speech to text have `tgt_text`.
TEXT_COLUMN_NAMES: Final = (*ALIASES["text"], "tgt_text", PRINTED_TEXT, "wrd", "words")
#: Values of an entry that several lists may share among them.
_VALUES: Final = ("text", "label", "speaker", "split")
#: NeMo's name of the column of audio files; beside it, `duration` counts without an `offset`, too.
_NEMO_FILE: Final = "audio_filepath"
#: Columns with the start and the end of a part of a file, in seconds; they count only together.
_START_AND_END: Final = (("start", "end"), ("start_time", "end_time"), ("begin", "end"))
SPLIT_COLUMN_NAMES: Final = ("split", "subset", "partition")
#: UrbanSound8K's name of the column of audio files, which are slices already: `start` and `end` are not parts of them.
_SLICE_FILE: Final = "slice_file_name"
#: Delimiters of lists, the likeliest first.
_DELIMITERS: Final = ("|", "\t", ",", ";", ":")
#: Delimiters that occur in sentences.
_SENTENCE_DELIMITERS: Final = (",", ";", ":")
#: Rows by which the delimiter of a list without column names is chosen.
_INSPECTED_ROWS: Final = 1000


class ManifestContext(NamedTuple):
    """Detection of the dialect, known audio files and unread fields of a manifest."""

    detect_dialect: DialectDetection
    #: Returns whether a name is that of an audio file of the upload.
    is_known: Callable[[str], bool]
    #: Receives the fields that are not read.
    unread: UnreadFields | None = None


class AudioSegment(NamedTuple):
    """Part of an audio file, in seconds."""

    offset: float
    #: None: up to the end of the file.
    duration: float | None


class Clip(NamedTuple):
    """An audio file of the upload, or a part of it."""

    file: str
    #: None: the whole file.
    segment: AudioSegment | None = None

    @property
    def name(self) -> str:
        """The file, with a media fragment for a part: `a.wav#t=3,4.2`."""
        if self.segment is None:
            return self.file
        offset, duration = self.segment
        return f"{self.file}#t={offset:g}" + ("" if duration is None else f",{round(offset + duration, 6):g}")


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One line of a manifest: a clip with its transcript or label and its speaker.

    A field is None if the manifest does not name it.
    """

    file_name: str
    at: Location
    text: str | None = None
    label: str | None = None
    speaker: str | None = None
    split: str | None = None
    #: Part of the file that the line is about; None for the whole file.
    segment: AudioSegment | None = None

    def merge(self, entry: ManifestEntry) -> ManifestEntry | None:
        """Fill missing fields from another entry of the same file.

        Returns None if texts, labels or speakers differ. Location and split of this entry have precedence.
        """
        values = {name: (getattr(self, name), getattr(entry, name)) for name in _VALUES}
        if any(None not in pair and pair[0] != pair[1] for name, pair in values.items() if name != "split"):
            return None
        return replace(self, **{name: own if own is not None else filler for name, (own, filler) in values.items()})


def read_entries(
    manifest: str, content: bytes, columns: Mapping[str, str | int], context: ManifestContext, issues: IssueLog
) -> Iterator[ManifestEntry]:
    """Yield the entries of a manifest; a line that cannot be read becomes an issue.

    So does a line whose part of a file is invalid.

    `columns` are the user's choices: canonical column -> its name in the manifest. Raises `DataRejected` if no column
    names audio files.
    """
    text = read_text(manifest, content, issues)
    is_json = text.lstrip()[:1] == "{"
    rows = _read_json(manifest, text, issues) if is_json else _read_delimited(manifest, text, context, issues)
    split = find_split(manifest)
    label_name: str | None = None
    for at, cells in rows:
        label_name = label_name or _choose_label(cells)
        entry = _to_entry(cells, {**({"label": label_name} if label_name else {}), **columns}, split, at)
        try:
            segment = _find_segment(cells)
        except ValueError as error:
            issues.add("segment_invalid", at=at, actual=error, expected="seconds, such as 3.5", rows=1)
            continue
        if context.unread is not None:
            context.unread.add_all(cells, _used_names(cells, columns, label_name), replace(at, row=None, line=None))
        yield replace(entry, segment=segment)


class AudioFileIndex:
    """Looks up audio files by the names that manifests have for them."""

    def __init__(self, files: Iterable[str]) -> None:
        """`files` are paths as in `Member.file`: `archive.zip/folder/name.wav`."""
        self.files = list(files)
        self._by_path_suffix: dict[str, list[str]] = {}
        #: Id of an audio file in lhotse -> its path.
        self._paths: dict[str, str] = {}
        for file in self.files:
            parts = PurePosixPath(file).parts
            for start in range(min(1, len(parts) - 1), len(parts)):
                tail = "/".join(parts[start:])
                for key in {tail, str(PurePosixPath(tail).with_suffix(""))}:
                    self._by_path_suffix.setdefault(key, []).append(file)

    def add_recordings(self, text: str) -> None:
        """Add the ids of audio files that a manifest of lhotse describes."""
        self._paths.update(lhotse.recording_paths(text))

    def find(self, name: str, beside: str) -> str | None:
        """Return the file that a manifest calls `name`.

        `beside` is the path of the manifest. Returns None if no file or several match. The whole name is tried first,
        then the name without its first folders, one more at each step: a manifest made on another computer has paths of
        that computer. Files below the manifest's own folder have precedence.
        """
        name = self._paths.get(name.strip(), name)
        parts = PurePosixPath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/")).parts
        folder = PurePosixPath(beside).parent
        for start in range(len(parts)):
            tail = "/".join(part for part in parts[start:] if part not in (".", "..", "/"))
            matches = self._by_path_suffix.get(tail, [])
            matches_in_folder = [file for file in matches if PurePosixPath(file).is_relative_to(folder)]
            for candidates in (matches_in_folder, matches):
                if len(candidates) == 1:
                    return candidates[0]
        return None


def is_manifest(name: str) -> bool:
    """Return whether a file may be a manifest, by its suffix."""
    return PurePosixPath(name).suffix.lower() in {".csv", ".tsv", ".json", ".jsonl", ".txt", ".list"}


def is_audio_file(name: str) -> bool:
    """Return whether a file may be an audio file, by its suffix."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _read_json(manifest: str, text: str, issues: IssueLog) -> Iterator[tuple[Location, dict[str, Any]]]:
    row = 0
    for line, content in enumerate(io.StringIO(text), start=1):
        if not content.strip():
            continue
        row += 1
        at = Location(file=manifest, line=line, row=row)
        try:
            cells = json.loads(content)
        except (ValueError, RecursionError) as error:
            issues.add("json_invalid", at=at, actual=error, rows=1)
            continue
        if isinstance(cells, dict):
            for supervision in lhotse.supervisions(cells):
                yield at, {str(key).strip().lower(): value for key, value in supervision.items()}
        else:
            issues.add("json_not_an_object", at=at, actual=content.strip(), expected="an object", rows=1)


def _read_delimited(
    manifest: str, text: str, context: ManifestContext, issues: IssueLog
) -> Iterator[tuple[Location, dict[str, Any]]]:
    dialect = _choose_dialect(manifest, text, context)
    first = next(_read_records(text, dialect), None)
    header = [cell.strip().lower() for cell in first.cells] if first else []
    has_header = bool(set(header) & set(FILE_COLUMN_NAMES))
    if not has_header:
        rows = [record.cells for record in itertools.islice(_read_records(text, dialect), _INSPECTED_ROWS)]
        # Rows of several widths have commas in their texts.
        header = name_columns(rows if len(set(map(len, rows))) == 1 else [])
    records = itertools.islice(_read_records(text, dialect, len(header)), int(has_header), None)
    for row, record in enumerate(records, start=1):
        at = Location(file=manifest, line=record.line, row=row)
        cells = check_width(_join_last(record, header, dialect, at, issues), len(header), at, issues)
        if cells is not None:
            yield at, dict(zip(header, cells, strict=True))


def _join_last(
    record: Record, header: Sequence[str], dialect: Dialect | None, at: Location, issues: IssueLog
) -> Record:
    """Join the cells behind the last column to it, if it is a text.

    A comma there belongs to the text.
    """
    last = len(header) - 1
    is_text = header[last] in ALIASES["text"] and dialect is not None and dialect.delimiter in _SENTENCE_DELIMITERS
    if dialect is None or not is_text or len(record.cells) <= len(header):
        return record
    issues.add("delimiter_in_text", at=at, actual=dialect.delimiter.join(record.cells[last:]), rows=1)
    return record._replace(cells=[*record.cells[:last], dialect.delimiter.join(record.cells[last:])])


def _choose_dialect(manifest: str, text: str, context: ManifestContext) -> Dialect | None:
    """Return the dialect; None if a line is divided at its first blank.

    Without a line of names, it is the one whose first column names most audio files.
    """
    first = text.lstrip("\n").partition("\n")[0]
    delimiters = [delimiter for delimiter in _DELIMITERS if delimiter in first]
    if not delimiters:
        return None
    detected = context.detect_dialect(manifest, lambda: io.StringIO(text))
    names = next((record.cells for record in _read_records(text, detected)), [])
    if {name.strip().lower() for name in names} & set(FILE_COLUMN_NAMES):
        return detected
    candidates = [detected, *(Dialect(delimiter, "none") for delimiter in delimiters), None]
    return max(candidates, key=lambda dialect: _count_known(text, dialect, context))


def _count_known(text: str, dialect: Dialect | None, context: ManifestContext) -> float:
    """Return the fraction of the first rows whose first cell names an audio file."""
    names = [record.cells[0] for record in itertools.islice(_read_records(text, dialect), _INSPECTED_ROWS)]
    return sum(map(context.is_known, names)) / max(1, len(names))


def _read_records(text: str, dialect: Dialect | None, width: int | None = None) -> Iterator[Record]:
    """Yield the rows; without a dialect, a line is divided at its first blank."""
    if dialect is not None:
        yield from read_records(io.StringIO(text), dialect, width=width)
        return
    for line, content in enumerate(io.StringIO(text), start=1):
        if content.strip():
            yield Record(line, content.strip().split(maxsplit=1))


def _to_entry(
    cells: Mapping[str, Any], columns: Mapping[str, str | int], manifest_split: str | None, at: Location
) -> ManifestEntry:
    file_name = _find_value(cells, columns, "audio", FILE_COLUMN_NAMES)
    if file_name is None:
        expected = f"a column named like {', '.join(FILE_COLUMN_NAMES[:4])}"
        raise DataRejected("no_columns", actual=", ".join(cells), expected=expected, at=at)
    split_cell = _find_value(cells, {}, "split", SPLIT_COLUMN_NAMES)
    return ManifestEntry(
        file_name=file_name,
        text=_find_value(cells, columns, "text", TEXT_COLUMN_NAMES),
        label=_find_value(cells, columns, "label", ()),
        speaker=_find_value(cells, columns, "speaker", ALIASES["speaker"]),
        split=(parse_split(split_cell) if split_cell else None) or manifest_split,
        at=at,
    )


def _used_names(cells: Mapping[str, Any], columns: Mapping[str, str | int], label: str | None) -> set[str]:
    """Return the names of the fields of a row that are read."""
    names = {str(column).lower() for column in columns.values()} | ({label} if label else set())
    for canonical, aliases in (
        ("audio", FILE_COLUMN_NAMES),
        ("text", TEXT_COLUMN_NAMES),
        ("speaker", ALIASES["speaker"]),
        ("split", SPLIT_COLUMN_NAMES),
    ):
        first = next((name for name in aliases if not _is_blank(cells.get(name))), None)
        names |= {first} if first and canonical not in columns else set()
    return names | {"offset", "duration", PRINTED_TEXT, *(name for pair in _START_AND_END for name in pair)}


def _choose_label(cells: Mapping[str, Any]) -> str | None:
    """Return the column of labels.

    A column of names goes before one of numbers: `category` before `target` in ESC-50.
    """
    names = [name for name in ALIASES["label"] if not _is_blank(cells.get(name))]
    return min(names, key=lambda name: str(cells[name]).strip().isdecimal(), default=None)


def _find_segment(cells: Mapping[str, Any]) -> AudioSegment | None:
    """Return the part of a file that a line names.

    None is the whole file. A duration of 0 or less means up to the end, as in NeMo. Raises `ValueError`.
    """
    if _SLICE_FILE in cells:
        return None
    offset_cell, duration_cell = cells.get("offset"), cells.get("duration")
    if lhotse.RECORDING_ID in cells and not _is_blank(duration_cell):
        offset_cell = cells.get("start")
    if _is_blank(offset_cell) and (_is_blank(duration_cell) or not {_NEMO_FILE, lhotse.RECORDING_ID} & cells.keys()):
        return _find_start_and_end(cells)
    offset = 0.0 if _is_blank(offset_cell) else _to_seconds("offset", offset_cell)
    duration = 0.0 if _is_blank(duration_cell) else _to_seconds("duration", duration_cell)
    if offset < 0:
        raise ValueError(f"offset {offset_cell}")
    return AudioSegment(offset, duration if duration > 0 else None) if offset or duration > 0 else None


def _find_start_and_end(cells: Mapping[str, Any]) -> AudioSegment | None:
    """Return the part between two columns of seconds; None if the file has none."""
    for names in _START_AND_END:
        values = [cells.get(name) for name in names]
        if any(map(_is_blank, values)):
            continue
        try:
            start, end = (_to_seconds(name, value) for name, value in zip(names, values, strict=True))
        except ValueError:
            continue  # a time of day, for example
        if not 0 <= start < end:
            raise ValueError(f"{names[0]} {values[0]}, {names[1]} {values[1]}")
        return AudioSegment(start, end - start)
    return None


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _to_seconds(name: str, cell: Any) -> float:
    try:
        seconds = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{name} {cell}")
    return seconds


def _find_value(
    cells: Mapping[str, Any], columns: Mapping[str, str | int], canonical: str, aliases: Sequence[str]
) -> str | None:
    """Return the first non-blank value of a column.

    It is the requested column, else those named like `aliases`.
    """
    names = [str(columns[canonical]).lower()] if canonical in columns else aliases
    values = [str(cells[name]) for name in names if cells.get(name) is not None]
    return next((value for value in values if value.strip()), values[0] if values else None)
