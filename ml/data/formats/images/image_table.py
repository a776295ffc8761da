"""Images with a manifest of their captions, labels or objects."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from ml.data.column_types.number import NumberType
from ml.data.column_types.objects import ObjectsType
from ml.data.cub_lists import has_split_lists
from ml.data.files import images
from ml.data.files.archives import list_members, read_members
from ml.data.files.ignored import is_not_learned
from ml.data.files.upload import ExtractedFile, find_split, folder_splits, parse_split
from ml.data.formats._split_lists import is_split_list, read_split_lists
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.formats.images._annotations import ImageAnnotation, to_objects
from ml.data.formats.images._box_columns import BoxColumns, are_fractions, to_relative
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.column_aliases import ALIASES, plain_name
from ml.data.tables.manifests import (
    FILE_COLUMN_NAMES,
    SPLIT_COLUMN_NAMES,
    SUFFIXES,
    FileIndex,
    ManifestRow,
    find_column,
    has_numbered_image,
    read_manifest,
)
from ml.data.tables.parquet_manifests import read_parquet_manifest
from ml.data.tables.target_columns import CLASS_NAMES, OUTCOME_NAMES
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.issues import IssueLog

SURE: Final = 1.5
#: Rows of a table that are looked at for names of images.
_INSPECTED_LINES: Final = 10
#: Marks of classes in columns, as ISIC writes them.
_ZERO: Final = ("0", "0.0")
_ONE: Final = ("1", "1.0")
_DELIMITER: Final = re.compile(r"[,;\t|]")
#: Words in the usual names of manifests.
USUAL_NAME_WORDS: Final = ("metadata", "captions", "labels", "annotations", "manifest")
_MORE_IMAGE_NAMES: Final = (
    "image_name",
    "image_id",
    "image_file",
    "image_path",
    "img_path",
    "img_name",
    "imageid",
    "image_index",
)
IMAGE_COLUMN_NAMES: Final = (*FILE_COLUMN_NAMES, *ALIASES["image"], *_MORE_IMAGE_NAMES, "id")
#: Canonical columns that a manifest may bring, in the order of their precedence.
VALUE_COLUMNS: Final = ("objects", "text", "label", "value")
#: Beside these, a column `y` is no label.
_COORDINATES: Final = frozenset({"x", "w", "h", "bbox_x", "width", "height"})
MANIFEST_CONTENT: Final = ("text", "json", "parquet")
#: A text beside an image is its YOLO labels, and JSON is COCO: these bring no table of objects.
NO_OBJECT_SUFFIXES: Final = (".txt", ".json")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """Caption, label, number or objects of one image, with its split and manifest row."""

    value: str | float | ImageAnnotation
    split: str | None
    location: Location


class _SplitNames:
    """Splits by the user's choice and by the names of manifests, folders and archives."""

    def __init__(
        self, source_of: Mapping[str, UploadedFile], manifests: Sequence[UploadedFile], listed: Mapping[str, str]
    ) -> None:
        self._source_of = source_of
        self._listed = listed
        self._folder_splits = folder_splits([*source_of, *(manifest.name for manifest in manifests)])

    def requested_split(self, manifest: UploadedFile, image: str) -> str | None:
        """Return the split that the user chose for manifest or image."""
        return manifest.requested_split or self._source_of[image].requested_split

    def named_split(self, manifest: UploadedFile, image: str) -> str | None:
        """Return the split by lists of images, or by names.

        Names are those of the manifest, then of folders, then of archives.
        """
        if image in self._listed:
            return self._listed[image]
        path = PurePosixPath(manifest.name)
        folder_split = self._folder_splits[image] or self._folder_splits[manifest.name]
        return find_split(path.name) or folder_split or self._source_of[image].split or find_split(path.parts[0])


class ImageTable(Format):
    """An archive of images with a manifest in it or beside it.

    The manifest is `metadata.csv`, `.tsv`, `.jsonl` or `.parquet`, or COCO captions. Objects stand in a column, or have
    a row each with columns such as class, xmin, ymin, xmax, ymax.
    """

    name = "image_table"
    summary = (
        "Zip or tar of images with a manifest (metadata.csv, .tsv, .jsonl or .parquet) of file_name and text, label, "
        "objects or value, perhaps also split; with a row for each box (class, xmin, ymin, xmax, ymax); or with COCO "
        "captions; the manifest may be a file of its own"
    )
    columns: ClassVar[Mapping[str, str]] = {
        "image": "image",
        "text": "text",
        "label": "label",
        "objects": "objects",
        "value": "number",
    }
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"zip", "tar", "image", "text", "json", "parquet"})
    has_columns = True
    has_quoting = True
    #: Text, label, objects or a number, one of them for all manifests; empty until a manifest is read.
    value_column: str = ""
    #: Columns of boxes if every row is one object.
    _box_columns: BoxColumns | None = None
    #: Columns with a mark for each class, if no column holds the label.
    _class_columns: tuple[str, ...] = ()

    @classmethod
    def detect(cls, sources: Sequence[UploadedFile], required: Mapping[str, str] | None) -> float:
        """Return a sure sign for images with a manifest.

        If no task is named, the manifest needs a usual name.
        """
        has_images = any(source.content == "image" for source in sources)
        manifests = [source.name for source in sources if source.content in MANIFEST_CONTENT]
        for source in sources:
            has_images |= any(_is_image(name) for name in source.member_names)
            manifests += [
                name for name in source.member_names if _is_manifest(name) and not _is_class_list(source, name)
            ]
        if required and "objects" in required:
            manifests = [name for name in manifests if not name.lower().endswith(NO_OBJECT_SUFFIXES)]
        if not has_images or not manifests or any(has_split_lists(source.member_names) for source in sources):
            return 0
        if required or any(_has_usual_name(name) for name in manifests) or _find_lists_of_images(sources):
            return super().detect(sources, required) * SURE
        return 0

    def read(self) -> Iterator[Batch]:
        """Read the manifests, wherever they are; then yield the images they name, archive by archive."""
        unknown = sorted(self.requested_columns.keys() - {"file", "split", *VALUE_COLUMNS})
        if unknown:
            raise DataRejected(
                "invalid_columns", actual=", ".join(unknown), expected=", ".join(("file", *VALUE_COLUMNS, "split"))
            )
        self._listed_splits: dict[str, str] = {}
        source_of, manifests = self._list_files()
        image_files = list(source_of)
        if not manifests:
            raise DataRejected("manifest_missing", actual=f"{len(image_files):,} images")
        self._splits = _SplitNames(source_of, manifests, self._listed_splits)
        entries = self._read_manifests(FileIndex(image_files), manifests)
        if self._box_columns:
            _mark_fractions(entries)
        for file in image_files:
            if file not in entries:
                self.issues.add("image_not_in_table", at=Location(file=file))
        yield from self._batches(self._read_images(entries), entries)

    def _choose_value_column(self, cells: Mapping[str, Any]) -> str:
        """Choose the column beside the image: as required, else objects, a text or a label."""
        for columns in (self.required_columns, self.requested_columns):
            chosen = [column for column in VALUE_COLUMNS if columns and column in columns]
            if chosen:
                return chosen[0]
        names = cells.keys()
        objects = find_column(names, ALIASES["objects"])
        if BoxColumns.find(names) or (objects is not None and _is_structured(cells[objects])):
            return "objects"
        candidates = [column for column in ("text", "label") if find_column(names, ALIASES[column]) is not None]
        has_classes = find_column(names, CLASS_NAMES) is not None or self._find_class_columns(cells)
        default = "label" if has_classes else "text"
        return candidates[0] if candidates else default

    def _find_class_columns(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the columns that mark the class, such as `MEL` and `NV`."""
        names = cells.keys()
        others = {self._find_column("file", names, IMAGE_COLUMN_NAMES)}
        others.add(self._find_column("split", names, SPLIT_COLUMN_NAMES))
        columns = tuple(name for name in names if name not in others)
        return columns if _are_marks_of_classes([cells[name] for name in columns]) else ()

    def _read_class(self, row: ManifestRow) -> str:
        """Return the class whose column is marked; raises `DataRejected` unless a single one is."""
        marks = {name: str(row.cells.get(name, "")).strip() for name in self._class_columns}
        if not _are_marks_of_classes(list(marks.values())):
            actual = ", ".join(f"{name} = {mark}" for name, mark in marks.items() if mark not in _ZERO)
            raise DataRejected("label_not_plain", actual=actual or "no class", expected="1 for a single class")
        return next(name for name, mark in marks.items() if mark in _ONE)

    def _value_names(self) -> Sequence[str]:
        """Return the usual names of the column beside the image."""
        more = {"label": CLASS_NAMES, "value": (*OUTCOME_NAMES, *CLASS_NAMES)}
        return (*ALIASES[self.value_column], *more.get(self.value_column, ()))

    def _list_files(self) -> tuple[dict[str, UploadedFile], list[UploadedFile]]:
        """List the images of the upload with the sources that hold them, and the manifests."""
        source_of: dict[str, UploadedFile] = {}
        manifests: list[UploadedFile] = []
        for source in self.sources:
            if source.content == "image":
                source_of[source.name] = source
            elif source.content in MANIFEST_CONTENT:
                manifests.append(source)
            else:
                self._list_archive(source, source_of, manifests)
        return source_of, manifests

    def _list_archive(
        self, source: UploadedFile, source_of: dict[str, UploadedFile], manifests: list[UploadedFile]
    ) -> None:
        try:
            members = list_members(source, self.issues, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return
        source_of |= {member.file: source for member in members if _is_image(member.file)}
        tables = [member.file for member in members if _is_manifest(member.file)]
        candidates = [file for file in tables if not is_not_learned(file)] or tables
        lists = {f"{source.name}/{name}" for name in source.member_names if _is_class_list(source, name)}
        candidates = [file for file in candidates if file not in lists] or candidates
        names = [file for file in candidates if _has_usual_name(file)]
        names = names or [file for file in candidates if file in _find_lists_of_images([source])] or candidates
        for file, data in read_members(source, names, self.issues, self.limits):
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file))
            else:
                manifests.append(ExtractedFile(file, source.path, source.requested_split, data=data))
        split_lists = {file for file in lists if is_split_list(file)}
        files = [file for file, origin in source_of.items() if origin is source]
        if split_lists and not source.requested_split:
            self._listed_splits |= read_split_lists(source, split_lists, files, self.issues, self.limits).splits
        for member in members:
            if member.file not in names and member.file not in split_lists and not _is_image(member.file):
                code = "list_not_learned" if is_not_learned(member.file) else "file_ignored"
                self.issues.add(code, at=Location(file=member.file))

    def _read_manifests(self, index: FileIndex, manifests: Sequence[UploadedFile]) -> dict[str, list[ImageEntry]]:
        """Return all texts or labels of each image."""
        entries: dict[str, list[ImageEntry]] = {}
        without_value: list[DataRejected] = []
        for manifest in manifests:
            unread = UnreadFields()
            try:
                for row in self._read_rows(manifest):
                    if len(manifests) > 1 and self._is_about_boxes(row):
                        expected = "a list of labels or texts; boxes in columns xmin, ymin, xmax, ymax"
                        self.issues.add("file_ignored", at=Location(file=manifest.name), expected=expected)
                        break
                    self._add_entries(entries, index, manifest, row)
                    self._count_unread(unread, row, manifest)
                unread.report(self.issues)
            except DataRejected as rejection:
                if rejection.code == "column_missing":
                    without_value.append(rejection)
                else:
                    self.issues.record(rejection, at=Location(file=manifest.name))
        for omission in without_value:
            if entries:  # a test list without labels beside the list that has them
                self.issues.add("file_without_target", at=omission.at, actual=f"no column {omission.expected}")
            else:
                self.issues.record(omission)
        return entries

    def _is_about_boxes(self, row: ManifestRow) -> bool:
        """Return whether a list has boxes of a form that is not read."""
        names = [plain_name(name) for name in row.cells]
        is_box_list = any(name.startswith("bbox") for name in names) and BoxColumns.find(row.cells.keys()) is None
        return is_box_list and self.value_column != "objects"

    def _count_unread(self, unread: UnreadFields, row: ManifestRow, manifest: UploadedFile) -> None:
        names = row.cells.keys()
        value = self._find_column(self.value_column, names, self._value_names())
        used = {
            *self._class_columns,
            self._find_column("file", names, IMAGE_COLUMN_NAMES),
            *(str(self.detected_columns.get(canonical)) for canonical in ("file", self.value_column)),
            value,
            self._find_column("split", names, SPLIT_COLUMN_NAMES),
        }
        if value is None and self._box_columns:
            used |= {*self._box_columns.names, *self._box_columns.image_size}
        unread.add_all(row.cells, {name for name in used if name}, Location(file=manifest.name))

    def _read_rows(self, manifest: UploadedFile) -> Iterator[ManifestRow]:
        if manifest.content == "json" and manifest.name.lower().endswith(".json"):
            with manifest.open(self.limits) as file:
                content = file.read()
            return _read_coco_captions(manifest.name, content, self.issues)
        if manifest.content == "parquet":
            return read_parquet_manifest(manifest, self.limits)
        return read_manifest(manifest, self.issues, self.limits, detect_dialect=self.detect_dialect)

    def _add_entries(
        self, entries: dict[str, list[ImageEntry]], index: FileIndex, manifest: UploadedFile, row: ManifestRow
    ) -> None:
        names = row.cells.keys()
        self.value_column = self.value_column or self._choose_value_column(row.cells)
        file_column = self._find_column("file", names, IMAGE_COLUMN_NAMES) or _column_of_images(row, index, manifest)
        value_column = self._find_column(self.value_column, names, self._value_names())
        boxes = BoxColumns.find(names) if self.value_column == "objects" and value_column is None else None
        if boxes:
            if boxes.label is None and self._box_columns is None:
                at, column = Location(file=manifest.name), ", ".join(boxes.box)
                self.issues.add("boxes_without_class", at=at, actual=column, expected="a column such as class")
            self._box_columns = boxes
            value_column = ", ".join(boxes.names)
        if self.value_column == "label" and value_column is None:
            self._class_columns = self._class_columns or self._find_class_columns(row.cells)
            value_column = ", ".join(self._class_columns) or None
        if self.value_column == "value" and value_column is None:
            split_column = self._find_column("split", names, SPLIT_COLUMN_NAMES)
            others = [name for name in names if name not in (file_column, split_column)]
            value_column = others[0] if len(others) == 1 else None
        if file_column is None or value_column is None:
            missing = "file_name" if file_column is None else self.value_column
            at = Location(file=manifest.name)
            raise DataRejected("column_missing", actual=", ".join(names), expected=missing, at=at)
        self.detected_columns = self.detected_columns or {"file": file_column, self.value_column: value_column}
        try:
            file = index.find(str(row.cells[file_column]), beside=manifest.name)
            split = self._split(row, manifest, file)
        except DataRejected as rejection:
            self.issues.record(rejection, at=row.location, rows=1)
            return
        if self.value_column == "objects":
            try:
                _add_objects(entries.setdefault(file, []), row, boxes, value_column, split)
            except DataRejected as rejection:
                self.issues.record(rejection, at=row.location, rows=1)
            return
        try:
            cell = self._read_class(row) if self._class_columns else row.cells[value_column]
            if self.value_column == "value":
                cell = NumberType.from_cell(cell)
        except DataRejected as rejection:
            self.issues.record(rejection, at=row.location, rows=1)
            return
        for value in cell if isinstance(cell, list) else [cell]:
            content = value if isinstance(value, float) else "" if value is None else str(value)
            entries.setdefault(file, []).append(ImageEntry(content, split, row.location))

    def _find_column(self, canonical: str, names: Collection[str], aliases: Sequence[str]) -> str | None:
        """Return the column that the user chose for `canonical`, else the one named like `aliases`."""
        request = self.requested_columns.get(canonical)
        if request is None:
            plain_names = {plain_name(name) for name in names}
            return find_column(names, [alias for alias in aliases if alias != "y" or not plain_names & _COORDINATES])
        columns = list(names)
        if isinstance(request, int):
            return columns[request - 1] if 1 <= request <= len(columns) else None
        return request if request in columns else None

    def _split(self, row: ManifestRow, manifest: UploadedFile, image: str) -> str | None:
        """Return the split of an image.

        The user's choice has precedence over the row's own cell, and that over names.
        """
        requested = self._splits.requested_split(manifest, image)
        column = self._find_column("split", row.cells.keys(), SPLIT_COLUMN_NAMES)
        if requested or column is None or not str(row.cells[column] or "").strip():
            return requested or self._splits.named_split(manifest, image)
        split = parse_split(str(row.cells[column]))
        if split is None:
            raise DataRejected("split_unknown", actual=row.cells[column], expected="train, validation or test")
        return split

    def _read_images(self, entries: Mapping[str, list[ImageEntry]]) -> Iterator[tuple[str, bytes | DataRejected]]:
        for source in self.sources:
            if source.content in ("zip", "tar"):
                yield from read_members(source, entries, self.issues, self.limits)
            elif source.content == "image" and source.name in entries:
                if source.path.stat().st_size > self.limits.max_image_bytes:
                    expected = f"at most {self.limits.max_image_bytes:,}"
                    yield source.name, DataRejected("file_too_large", expected=expected)
                else:
                    yield source.name, source.path.read_bytes()

    def _batches(
        self, contents: Iterator[tuple[str, bytes | DataRejected]], entries: Mapping[str, list[ImageEntry]]
    ) -> Iterator[Batch]:
        """Group the images into batches of one split.

        An image with several texts is several rows.
        """
        pending: dict[str | None, list[tuple[bytes, ImageEntry]]] = {}
        byte_counts: dict[str | None, int] = {}
        for file, data in contents:
            if isinstance(data, DataRejected):
                self.issues.record(data, at=Location(file=file), rows=1)
                continue
            for entry in entries[file]:
                split = entry.split
                rows = pending.setdefault(split, [])
                rows.append((data, entry))
                byte_counts[split] = byte_counts.get(split, 0) + len(data)
                if len(rows) >= ROWS_PER_BATCH or byte_counts[split] >= BYTES_PER_BATCH:
                    yield self._batch(pending.pop(split), split)
                    byte_counts[split] = 0
        for split, rows in pending.items():
            yield self._batch(rows, split)

    def _batch(self, rows: Sequence[tuple[bytes, ImageEntry]], split: str | None) -> Batch:
        # The location of a row is its manifest row: that is where a user corrects it.
        at = [entry.location for _, entry in rows]
        locations = Locations(
            [location.file or "" for location in at], rows=np.array([location.row or 0 for location in at])
        )
        values = [
            entry.value
            if not isinstance(entry.value, ImageAnnotation)
            else to_objects(entry.value, images.read_size(data), entry.location, self.issues)
            for data, entry in rows
        ]
        return Batch({"image": [data for data, _ in rows], self.value_column: values}, locations, split)


def _add_objects(
    entries: list[ImageEntry], row: ManifestRow, boxes: BoxColumns | None, column: str, split: str | None
) -> None:
    """Add the objects of a row to the entry of its image; raises `DataRejected`."""
    if boxes is None:
        annotation = ImageAnnotation(ObjectsType.from_cell(row.cells[column]).objects, split)
        entries.append(ImageEntry(annotation, split, row.location))
        return
    objects: list[Mapping[str, Any]] = [*boxes.parse(row.cells)]
    earlier = entries[0].value if entries else None
    if isinstance(earlier, ImageAnnotation):
        objects = [*earlier.objects, *objects]
    location = entries[0].location if entries else row.location
    annotation = ImageAnnotation(objects, split, boxes.parse_image_size(row.cells))
    entries[:] = [ImageEntry(annotation, entries[0].split if entries else split, location)]


def _mark_fractions(entries: Mapping[str, list[ImageEntry]]) -> None:
    """Mark the boxes as fractions of their images if all are."""
    annotations = [entry.value for values in entries.values() for entry in values]
    objects = [annotated for value in annotations if isinstance(value, ImageAnnotation) for annotated in value.objects]
    if not are_fractions(objects):
        return
    for values in entries.values():
        for index, entry in enumerate(values):
            if isinstance(entry.value, ImageAnnotation):
                relative = replace(entry.value, objects=list(map(to_relative, entry.value.objects)))
                values[index] = replace(entry, value=relative)


def _is_structured(cell: Any) -> bool:
    """Return whether a cell is a list or an object, perhaps as JSON."""
    return isinstance(cell, list | dict) or (isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"))


def _read_coco_captions(name: str, data: bytes, issues: IssueLog) -> Iterator[ManifestRow]:
    """Yield a row per caption of a COCO file.

    It has `images` of id and file_name, and `annotations` of image_id and caption.
    """
    try:
        content = json.loads(data)
        files = {image["id"]: image["file_name"] for image in content["images"]}
        captions = [(annotation["image_id"], annotation["caption"]) for annotation in content["annotations"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataRejected("coco_invalid", actual=error, expected="images and annotations with a caption") from error
    for row, (image_id, caption) in enumerate(captions, start=1):
        location = Location(file=name, row=row)
        if image_id not in files:
            issues.add("file_missing", at=location, actual=f"image_id {image_id}", rows=1)
            continue
        yield ManifestRow({"file_name": files[image_id], "text": caption}, location)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.SUFFIXES


def _is_manifest(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in (*SUFFIXES, ".parquet") and not path.name.lower().startswith(
        ("readme", "license", ".")
    )


def _is_class_list(source: UploadedFile, name: str) -> bool:
    """Return whether a text names a class or a file in each line."""
    lines = source.text_starts.get(name, b"").decode("utf-8", "replace").splitlines()[:_INSPECTED_LINES]
    return name.lower().endswith(".txt") and bool(lines) and not any(map(_DELIMITER.search, lines))


def _has_usual_name(name: str) -> bool:
    stem = PurePosixPath(name).stem.lower()
    return any(word in stem for word in USUAL_NAME_WORDS)


def _find_lists_of_images(sources: Sequence[UploadedFile]) -> set[str]:
    """Return the tables with a label or text whose first rows name images.

    A name may lack its suffix: `id_code,diagnosis` and `000c1434d8d7,2`.
    """
    names = [name for source in sources for name in (source.member_names or (source.name,)) if _is_image(name)]
    image_names = {form for name in names for form in (PurePosixPath(name).name, PurePosixPath(name).stem)}
    value_names = {*ALIASES["label"], *ALIASES["text"], *CLASS_NAMES}
    lists = set()
    for source in sources:
        for name, start in source.text_starts.items():
            header, *lines = start.decode("utf-8", "replace").splitlines()[: 1 + _INSPECTED_LINES] or [""]
            rows = [{PurePosixPath(cell.strip(' "')).name for cell in _DELIMITER.split(line)} for line in lines]
            columns = [plain_name(cell.strip('"')) for cell in _DELIMITER.split(header)]
            has_value = not value_names.isdisjoint(columns) or BoxColumns.find(columns) is not None
            has_value |= bool(lines) and all(
                _are_marks_of_classes(_DELIMITER.split(line)[1:]) for line in lines[:-1] or lines
            )
            if has_numbered_image(_DELIMITER.split(header)[0]) and not _is_lemmatized(name):
                lists.add(name if name == source.name else f"{source.name}/{name}")
            if has_value and rows and 2 * sum(not image_names.isdisjoint(row) for row in rows) > len(rows):
                lists.add(name if name == source.name else f"{source.name}/{name}")
    return lists


def _is_lemmatized(name: str) -> bool:
    """Return whether captions are in base forms, as in `Flickr8k.lemma.token.txt`."""
    return "lemma" in PurePosixPath(name).name.lower()


def _are_marks_of_classes(cells: Sequence[Any]) -> bool:
    """Return whether cells are 0 or 1, with 1 for a single class."""
    texts = [str(cell).strip() for cell in cells]
    ones = sum(text in _ONE for text in texts)
    return len(texts) > 1 and ones == 1 and all(text in (*_ZERO, *_ONE) for text in texts)


def _column_of_images(row: ManifestRow, index: FileIndex, manifest: UploadedFile) -> str | None:
    """Return the first column whose cell is the name of an image."""
    for name, cell in row.cells.items():
        try:
            index.find(str(cell), beside=manifest.name)
        except DataRejected:
            continue
        return name
    return None
