"""Tables whose rows have several parts, some of them files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.column_types import COLUMN_TYPES
from ml.data.files.archives import list_members, read_members
from ml.data.files.ignored import is_not_learned
from ml.data.files.upload import ExtractedFile, find_split, parse_split
from ml.data.first_rows import FirstRows
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.formats.multimodal._part_columns import (
    FILE_PARTS,
    PARTS,
    SPLIT,
    TARGETS,
    PartColumnDetection,
    PartColumns,
    is_empty,
)
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.layout import FEATURES
from ml.data.tables.manifests import FileIndex, read_manifest
from ml.data.tables.parquet_manifests import read_parquet_manifest
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.tables.manifests import ManifestRow

#: Above the likelihood of all formats that read some parts alone.
SURE: Final = 4.0
ARCHIVES: Final = ("zip", "tar")
MANIFEST_CONTENT: Final = ("text", "json", "parquet")
MANIFEST_SUFFIXES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row: the files it names, its other values, and its split."""

    location: Location
    #: Part -> file of the upload, for parts that are files.
    files: Mapping[str, str]
    #: Part or target -> value; parts that the row lacks are absent.
    values: Mapping[str, Any]
    split: str | None


class MultimodalTable(Format):
    """A table in an archive or beside it, whose rows name images and audio clips.

    Its other columns are a text, the target, and measurements. An empty cell says that the row lacks the part.
    """

    name = "multimodal_table"
    summary = (
        "Zip or tar with a manifest (metadata.csv, .tsv, .jsonl or .parquet) whose rows have several of: an image "
        "file, an audio file, a text, measurements; and a label or a value, perhaps also split; an empty cell is a "
        "missing part"
    )
    columns: ClassVar[Mapping[str, str]] = {
        "image": "image",
        "text": "text",
        "audio": "audio",
        FEATURES: "record",
        "label": "label",
        "value": "number",
    }
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image", "audio", *MANIFEST_CONTENT})
    has_columns = True
    has_quoting = True

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for a manifest, if the task requires only a target."""
        if not required or not required.keys() <= TARGETS.keys():
            return 0
        names = [name for source in sources for name in source.member_names]
        has_manifest = any(source.content in MANIFEST_CONTENT for source in sources) or any(map(_is_manifest, names))
        return SURE * super().detect(sources, required) if has_manifest else 0

    def read(self) -> Iterator[Batch]:
        """Read the manifests; then yield their rows with the files they name."""
        usual = (*PARTS, *TARGETS, SPLIT)
        if unknown := sorted(self.requested_columns.keys() - set(usual)):
            raise DataRejected("invalid_columns", actual=", ".join(unknown), expected=", ".join(usual))
        sizes, manifests = self._list_files()
        rows = [(row, manifest) for manifest in manifests for row in self._read_rows(manifest)]
        if not rows:
            raise DataRejected("manifest_missing", actual=f"{len(sizes):,} files")
        required = next((name for name in self.required_columns or () if name in TARGETS), None)
        detection = PartColumnDetection([row for row, _ in rows], self.requested_columns, self.limits)
        columns = detection.detect(required)
        self._report_columns(columns, [row for row, _ in rows])
        indices = {
            part: FileIndex(name for name in sizes if _suffix(name) in suffixes)
            for part, suffixes in FILE_PARTS.items()
        }
        entries = [entry for row, manifest in rows if (entry := self._read_entry(row, manifest, columns, indices))]
        self._report_unused(sizes, entries)
        parts = [part for part in PARTS if any(part in entry.values or part in entry.files for entry in entries)]
        for group in _group(entries, sizes):
            yield from self._read_batch(group, columns, parts)

    def _list_files(self) -> tuple[dict[str, int], list[UploadedFile]]:
        """Return the bytes of each image and audio clip of the upload, and the manifests."""
        sizes: dict[str, int] = {}
        manifests: list[UploadedFile] = []
        for source in self.sources:
            if source.content in MANIFEST_CONTENT:
                manifests.append(source)
            elif source.content in ARCHIVES:
                self._list_archive(source, sizes, manifests)
            else:
                sizes[source.name] = source.path.stat().st_size
        return sizes, manifests

    def _list_archive(self, source: UploadedFile, sizes: dict[str, int], manifests: list[UploadedFile]) -> None:
        try:
            members = list_members(source, self.issues, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return
        tables = {member.file for member in members if _is_manifest(member.file)}
        selection = {name for name in tables if not is_not_learned(name)} or tables
        for member in members:
            if any(_suffix(member.file) in suffixes for suffixes in FILE_PARTS.values()):
                sizes[member.file] = member.size
            elif member.file not in selection:
                code = "list_not_learned" if member.file in tables else "file_ignored"
                self.issues.add(code, at=Location(file=member.file))
        for file, data in read_members(source, selection, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file))
            else:
                manifests.append(ExtractedFile(file, source.path, source.requested_split, data=data))

    def _read_rows(self, manifest: UploadedFile) -> list[ManifestRow]:
        try:
            if manifest.content == "parquet":
                return list(read_parquet_manifest(manifest, self.limits))
            return list(read_manifest(manifest, self.issues, self.limits, detect_dialect=self.detect_dialect))
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=manifest.name))
            return []

    def _report_columns(self, columns: PartColumns, rows: Sequence[ManifestRow]) -> None:
        names = list(dict.fromkeys(name for row in rows for name in row.cells))
        cells = ([row.cells.get(name) for name in names] for row in rows)
        self.first_rows = FirstRows.of(rows[0].location.file or "", names, cells)
        self.detected_columns = dict(columns.names)
        if columns.features:
            self.detected_columns[FEATURES] = " + ".join(columns.features)
        if columns.is_text_guessed:
            at = Location(file=rows[0].location.file)
            self.issues.add("text_column_guessed", at=at, actual=f"text = {columns.names['text']}")
        unread = UnreadFields()
        for row in rows:
            unread.add_all(row.cells, columns.used, Location(file=row.location.file))
        unread.report(self.issues)

    def _report_unused(self, sizes: Mapping[str, int], entries: Sequence[_Entry]) -> None:
        used = {file for entry in entries for file in entry.files.values()}
        for file in sizes:
            if file not in used:
                is_image = _suffix(file) in FILE_PARTS["image"]
                self.issues.add("image_not_in_table" if is_image else "audio_without_text", at=Location(file=file))

    def _read_entry(
        self, row: ManifestRow, manifest: UploadedFile, columns: PartColumns, indices: Mapping[str, FileIndex]
    ) -> _Entry | None:
        """Return the entry of a row, or None.

        A row that cannot be used becomes an issue.
        """
        files: dict[str, str] = {}
        values: dict[str, Any] = {}
        for canonical, column in columns.names.items():
            cell = row.cells.get(column)
            try:
                if canonical in indices and isinstance(cell, str) and not is_empty(cell):
                    files[canonical] = indices[canonical].find(cell, beside=row.location.file or "")
                elif canonical in (columns.target, *PARTS) and (canonical == columns.target or not is_empty(cell)):
                    values[canonical] = COLUMN_TYPES[self.columns[canonical]].from_cell(cell)
            except DataRejected as rejection:
                self.issues.record(rejection, at=replace(row.location, column=column), rows=1)
                return None
        record = {name: cell for name in columns.features if not is_empty(cell := row.cells.get(name))}
        if record:
            values[FEATURES] = record
        try:
            split = _split_of(row, manifest, columns.names.get(SPLIT))
            if not files and not values.keys() - {columns.target}:
                raise DataRejected("record_empty")
        except DataRejected as rejection:
            self.issues.record(rejection, at=row.location, rows=1)
            return None
        return _Entry(row.location, files, values, split)

    def _read_batch(self, entries: Sequence[_Entry], columns: PartColumns, parts: Sequence[str]) -> Iterator[Batch]:
        contents = self._read_files({file for entry in entries for file in entry.files.values()})
        readable: list[_Entry] = []
        for entry in entries:
            faults = [(part, contents[file]) for part, file in entry.files.items()]
            rejection = next(((part, fault) for part, fault in faults if isinstance(fault, DataRejected)), None)
            if rejection is None:
                readable.append(entry)
            else:
                at = replace(entry.location, column=columns.names[rejection[0]])
                self.issues.record(rejection[1], at=at, rows=1)
        if not readable:
            return
        values: dict[str, list[Any]] = {
            part: [contents[entry.files[part]] if part in entry.files else entry.values.get(part) for entry in readable]
            for part in parts
        }
        values[columns.target] = [entry.values[columns.target] for entry in readable]
        locations = Locations(
            [entry.location.file or "" for entry in readable],
            rows=np.array([entry.location.row or 0 for entry in readable]),
            names=columns.names,
        )
        yield Batch(values, locations, readable[0].split, optional=frozenset(parts))

    def _read_files(self, files: set[str]) -> dict[str, bytes | DataRejected]:
        contents: dict[str, bytes | DataRejected] = {}
        for source in self.sources if files else ():
            if source.content in ARCHIVES:
                contents.update(read_members(source, files, self.issues, self.limits))
            elif source.name in files and source.path.stat().st_size <= self.limits.max_image_bytes:
                contents[source.name] = source.path.read_bytes()
            elif source.name in files:
                expected = f"at most {self.limits.max_image_bytes:,} bytes"
                contents[source.name] = DataRejected("file_too_large", expected=expected)
        return contents


def _group(entries: Sequence[_Entry], sizes: Mapping[str, int]) -> Iterator[list[_Entry]]:
    """Yield the entries in groups of one split that fit into a batch."""
    for split in dict.fromkeys(entry.split for entry in entries):
        group: list[_Entry] = []
        bytes_of_group = 0
        for entry in (entry for entry in entries if entry.split == split):
            group.append(entry)
            bytes_of_group += sum(sizes[file] for file in entry.files.values())
            if len(group) >= ROWS_PER_BATCH or bytes_of_group >= BYTES_PER_BATCH:
                yield group
                group, bytes_of_group = [], 0
        if group:
            yield group


def _split_of(row: ManifestRow, manifest: UploadedFile, column: str | None) -> str | None:
    """Return the split as requested, else by the cell, else by the manifest's name."""
    cell = row.cells.get(column) if column else None
    if manifest.requested_split or is_empty(cell):
        return manifest.requested_split or find_split(PurePosixPath(manifest.name).name)
    split = parse_split(str(cell))
    if split is None:
        raise DataRejected("split_unknown", actual=cell, expected="train, validation or test")
    return split


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_manifest(name: str) -> bool:
    hidden = ("readme", "license", ".")
    return _suffix(name) in MANIFEST_SUFFIXES and not PurePosixPath(name).name.lower().startswith(hidden)
