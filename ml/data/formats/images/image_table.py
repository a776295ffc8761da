"""Pictures, and a table beside them that says what each shows: captions, or labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.files import images
from ml.data.files.archives import list_members, read_members
from ml.data.files.upload import ExtractedFile, find_split, parse_split
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.column_aliases import ALIASES
from ml.data.tables.manifests import FILE_NAMES, SUFFIXES, FilesByName, Record, column_of, records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

SURE: Final = 1.5
TABLES: Final = ("metadata", "captions", "labels", "annotations", "manifest")
"""Words in the names of tables by which such an archive is known."""
FILE_COLUMNS: Final = (*FILE_NAMES, *ALIASES["image"], "image_name", "image_id", "image_file", "id")
WHOLE_SPLIT: Final = ("split", "subset", "fold", "partition")


@dataclass(frozen=True, slots=True)
class Said:
    """What a table says of one picture."""

    value: Any
    split: str | None
    place: Location


class ImageTable(Format):
    """An archive of pictures with `metadata.csv`, `.tsv` or `.jsonl`, or COCO's captions; or both side by side."""

    name = "image_table"
    summary = (
        "Zip or tar of pictures with a table (metadata.csv, .tsv or .jsonl) of file_name and text or label, perhaps "
        "also split; or with COCO's captions; the table may be a file of its own"
    )
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "text": "text", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image", "text", "json"})
    has_columns = True
    column: str = ""
    """Text or label, one of them for all; known once a table was opened."""

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], wanted: Mapping[str, str] | None) -> float:
        """Pictures and a table, and where nothing is wanted a name by which such a table is known."""
        share = super().detect(sources, wanted)
        pictures = any(source.content == "image" for source in sources)
        tables = [source.name for source in sources if source.content in ("text", "json")]
        for source in sources:
            pictures |= any(_is_picture(name) for name in source.member_names)
            tables += [name for name in source.member_names if _is_table(name)]
        if not pictures or not tables:
            return 0
        return share * SURE if wanted or any(_is_known(name) for name in tables) else 0

    def read(self) -> Iterator[Batch]:
        """Tables first, wherever they are; then the pictures they name, archive by archive."""
        unknown = sorted(self.requested_columns.keys() - {"file", "text", "label", "split"})
        if unknown:
            raise DataRejected("invalid_columns", actual=", ".join(unknown), expected="file, text, label, split")
        pictures, tables = self._listed()
        if not tables:
            raise DataRejected("manifest_missing", actual=f"{len(pictures):,} pictures")
        said = self._said(FilesByName(pictures), tables)
        for file in pictures:
            if file not in said:
                self.issues.add("picture_not_in_table", at=Location(file=file))
        yield from self._batches(self._pictures(said), said)

    def _chosen(self, names: Collection[str]) -> str:
        """What is read beside the picture: what the task wants or was asked for, else a text where there is one."""
        for known in (self.required_columns, self.requested_columns):
            if known and not {"text", "label"}.isdisjoint(known):
                return "text" if "text" in known else "label"
        columns = [column for column in ("text", "label") if column_of(names, ALIASES[column]) is not None]
        return columns[0] if columns else "text"

    def _listed(self) -> tuple[list[str], list[UploadedFile]]:
        pictures: list[str] = []
        tables: list[UploadedFile] = []
        for source in self.sources:
            if source.content == "image":
                pictures.append(source.name)
            elif source.content in ("text", "json"):
                tables.append(source)
            else:
                self._list_archive(source, pictures, tables)
        return pictures, tables

    def _list_archive(self, source: UploadedFile, pictures: list[str], tables: list[UploadedFile]) -> None:
        try:
            listed = list_members(source, self.issues, self.limits)
        except DataRejected as refused:
            self.issues.record(refused, at=Location(file=source.name))
            return
        pictures += [member.file for member in listed if _is_picture(member.file)]
        named = [member.file for member in listed if _is_table(member.file)]
        known = [file for file in named if _is_known(file)] or named
        for file, data in read_members(source, known, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file))
            else:
                tables.append(ExtractedFile(file, source.path, data=data))
        for member in listed:
            if member.file not in known and not _is_picture(member.file):
                self.issues.add("file_ignored", at=Location(file=member.file))

    def _said(self, files: FilesByName, tables: Sequence[UploadedFile]) -> dict[str, list[Said]]:
        """By picture, every text or label there is for it."""
        said: dict[str, list[Said]] = {}
        for table in tables:
            try:
                for record in self._records(table):
                    self._note(said, files, table, record)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=table.name))
        return said

    def _records(self, table: UploadedFile) -> Iterator[Record]:
        if table.content == "json" and table.name.lower().endswith(".json"):
            return _of_coco(table, self)
        return records(table, self.issues, self.limits)

    def _note(self, said: dict[str, list[Said]], files: FilesByName, table: UploadedFile, record: Record) -> None:
        names = record.cells.keys()
        self.column = column = self.column or self._chosen(names)
        file_column = self._named("file", names, FILE_COLUMNS)
        value_column = self._named(column, names, ALIASES[column])
        if file_column is None or value_column is None:
            missing = "file_name" if file_column is None else column
            raise DataRejected(
                "column_missing", actual=", ".join(names), expected=missing, at=Location(file=table.name)
            )
        self.detected_columns = self.detected_columns or {"file": file_column, column: value_column}
        try:
            file = files.find(str(record.cells[file_column]), beside=table.name)
            value = record.cells[value_column]
            split = self._split(record, table)
        except DataRejected as refused:
            self.issues.record(refused, at=record.place, rows=1)
            return
        for each in value if isinstance(value, list) else [value]:
            said.setdefault(file, []).append(Said("" if each is None else str(each), split, record.place))

    def _named(self, canonical: str, names: Any, aliases: Sequence[str]) -> str | None:
        asked = self.requested_columns.get(canonical)
        if asked is None:
            return column_of(names, aliases)
        columns = list(names)
        if isinstance(asked, int):
            return columns[asked - 1] if 1 <= asked <= len(columns) else None
        return asked if asked in columns else None

    def _split(self, record: Record, table: UploadedFile) -> str | None:
        column = self._named("split", record.cells.keys(), WHOLE_SPLIT)
        if column is None or not str(record.cells[column] or "").strip():
            return table.requested_split or find_split(PurePosixPath(table.name).name)
        split = parse_split(str(record.cells[column]))
        if split is None:
            raise DataRejected("split_unknown", actual=record.cells[column], expected="train, validation or test")
        return split

    def _pictures(self, said: Mapping[str, list[Said]]) -> Iterator[tuple[str, bytes | DataRejected]]:
        for source in self.sources:
            if source.content in ("zip", "tar"):
                yield from read_members(source, said, self.issues, self.limits)
            elif source.content == "image" and source.name in said:
                if source.path.stat().st_size > self.limits.max_image_bytes:
                    yield (
                        source.name,
                        DataRejected("file_too_large", expected=f"at most {self.limits.max_image_bytes:,}"),
                    )
                else:
                    yield source.name, source.path.read_bytes()

    def _batches(
        self, pictures: Iterator[tuple[str, bytes | DataRejected]], said: Mapping[str, list[Said]]
    ) -> Iterator[Batch]:
        """A picture of several texts is several rows."""
        waiting: dict[str | None, list[tuple[bytes, Said]]] = {}
        weight: dict[str | None, int] = {}
        for file, data in pictures:
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file), rows=1)
                continue
            for each in said[file]:
                held = waiting.setdefault(each.split, [])
                held.append((data, each))
                weight[each.split] = weight.get(each.split, 0) + len(data)
                if len(held) >= ROWS_PER_BATCH or weight[each.split] >= BYTES_PER_BATCH:
                    yield _batch(waiting.pop(each.split), self.column, each.split)
                    weight[each.split] = 0
        for split, held in waiting.items():
            yield _batch(held, self.column, split)


def _batch(held: Sequence[tuple[bytes, Said]], column: str, split: str | None) -> Batch:
    # Pictures are named by the row of the table that tells of them: there, what is wrong is mended.
    places = [said.place for _, said in held]
    found = Locations([place.file or "" for place in places], rows=np.array([place.row or 0 for place in places]))
    return Batch({"image": [data for data, _ in held], column: [said.value for _, said in held]}, found, split)


def _of_coco(table: UploadedFile, format: ImageTable) -> Iterator[Record]:
    """COCO's captions: `images` of id and file_name, `annotations` of image_id and caption."""
    try:
        with table.open(format.limits) as file:
            content = json.load(file)
        files = {image["id"]: image["file_name"] for image in content["images"]}
        annotations = content["annotations"]
        pairs = [(each["image_id"], each["caption"]) for each in annotations]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataRejected("coco_invalid", actual=error, expected="images and annotations with a caption") from error
    for row, (image, caption) in enumerate(pairs, start=1):
        place = Location(file=table.name, row=row)
        if image not in files:
            format.issues.add("file_missing", at=place, actual=f"image_id {image}", rows=1)
            continue
        yield Record({"file_name": files[image], "text": caption}, place)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.SUFFIXES


def _is_table(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.lower().startswith(("readme", "license", "."))


def _is_known(name: str) -> bool:
    stem = PurePosixPath(name).stem.lower()
    return any(word in stem for word in TABLES)
