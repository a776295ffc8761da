"""Tables in Parquet: texts, labels and images.

An image is stored as bytes, as base64 or as one column per pixel.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.files.parquet import DAMAGE, open_parquet
from ml.data.formats.base import ROWS_PER_BATCH, Batch
from ml.data.formats.tables._table_format import TableFormat
from ml.data.issues import DataRejected
from ml.data.locations import Locations
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    CellKind,
    are_distinct,
    are_measured,
    are_pixels,
    are_references,
    kind_of_texts,
    read_cells,
    repeat_values,
)
from ml.data.tables.class_labels import (
    column_class_names,
    declared_languages,
    decode_class,
    decode_objects,
    object_class_names,
)
from ml.data.tables.column_aliases import TRANSLATION
from ml.data.tables.layout import CellColumn, Layout
from ml.data.tables.pixels import PixelReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.formats.tables._memberships import Memberships

#: Small, because nothing states the size of an image before it is read.
_IMAGE_ROWS_PER_BATCH: Final = 64
#: Errors of pyarrow that mean a damaged file.


class Parquet(TableFormat):
    """Parquet files, checked against the limits by their footer before any page is unpacked.

    A few pages can claim to hold millions of rows.
    """

    name = "parquet"
    summary = (
        "Parquet: texts and labels; an image as bytes (as Hugging Face datasets store it), as base64 or as one column "
        "per pixel"
    )
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"parquet"})

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        yield from self.read_files(partial(self._read_file, pixels=PixelReader(self.issues)))

    def column_names(self, source: UploadedFile) -> list[str] | None:
        """Return the names of the columns; None for a damaged file."""
        try:
            with open_parquet(source, self.limits) as file:
                return list(file.schema_arrow.names)
        except DAMAGE:
            return None

    def _read_file(self, source: UploadedFile, *, pixels: PixelReader) -> Iterator[Batch]:
        try:
            yield from self._read_rows(source, pixels)
        except DAMAGE as error:
            raise DataRejected("damaged_file", actual=error) from error

    def _read_rows(self, source: UploadedFile, pixels: PixelReader) -> Iterator[Batch]:
        with open_parquet(source, self.limits) as file:
            fields = _in_declared_order(_fields(file.schema_arrow), file.schema_arrow.metadata)
            columns = [CellColumn(field.name, _cell_kind(field.type)) for field in fields]
            columns = _inspect_cells(file, columns)
            layout, memberships = self.detect_layout(source, columns, _sample_texts(file, columns), has_header=True)
            yield from self._batches(source, file, layout, memberships, columns, pixels)

    def _batches(
        self,
        source: UploadedFile,
        file: pq.ParquetFile,
        layout: Layout,
        memberships: Memberships,
        columns_of_file: Sequence[CellColumn],
        pixels: PixelReader,
    ) -> Iterator[Batch]:
        names = [column.name for column in columns_of_file]
        read_columns = [names[index] for index in (*layout.cell_positions, *memberships.positions, *layout.pixels)]
        label = layout.columns.get("label")
        class_names = _class_names(file.schema_arrow, None if label is None else names[label])
        objects = layout.columns.get("objects")
        object_names = {} if objects is None else object_class_names(file.schema_arrow.metadata, names[objects])
        batch_size = _IMAGE_ROWS_PER_BATCH if "image" in layout.columns else ROWS_PER_BATCH
        file_names = layout.names(columns_of_file)
        row = 0
        for table in map(
            _flatten_translation, file.iter_batches(batch_size=batch_size, columns=read_columns, use_threads=False)
        ):
            locations = Locations(source.name, rows=range(row + 1, row + len(table) + 1), names=file_names)
            row += len(table)
            cells = layout.cells({index: table.column(names[index]).to_pylist() for index in layout.cell_positions})
            if class_names:
                cells["label"] = _decode_classes(cells["label"], class_names)
            if object_names:
                cells["objects"] = [decode_objects(cell, object_names) for cell in cells["objects"]]
            values, retained_rows = read_cells(cells, locations, self.issues)
            indices = retained_rows
            columns: dict[str, Any] = dict(values)
            if layout.pixels:
                numbers = np.stack([_to_float32(table.column(names[index])) for index in layout.pixels], axis=1)
                locations = locations.take(retained_rows)
                images, retained_rows = pixels.read(numbers, layout, locations, names)
                columns = {
                    "image": images,
                    **{name: [column[index] for index in retained_rows] for name, column in values.items()},
                }
                indices = [indices[index] for index in retained_rows]
            batch = Batch(columns, locations.take(retained_rows), source.split)
            members = {index: table.column(names[index]).take(indices).to_pylist() for index in memberships.positions}
            yield from memberships.divide(batch, members, requested_split=source.requested_split, issues=self.issues)


def _fields(schema: pa.Schema) -> list[pa.Field]:
    """List the columns; the `translation` of Hugging Face datasets is one column per language."""
    return [inner for field in schema for inner in (field.flatten() if _is_translation(field) else [field])]


def _in_declared_order(fields: list[pa.Field], metadata: Mapping[bytes, bytes] | None) -> list[pa.Field]:
    """Order the languages of a translation as the schema declares them.

    Arrow sorts them by name.
    """
    order = {
        f"{TRANSLATION}.{language}": rank for rank, language in enumerate(declared_languages(metadata, TRANSLATION))
    }
    places = [place for place, field in enumerate(fields) if field.name in order]
    languages = sorted((fields[place] for place in places), key=lambda field: order[field.name])
    ordered = list(fields)
    for place, field in zip(places, languages, strict=True):
        ordered[place] = field
    return ordered


def _is_translation(field: pa.Field) -> bool:
    return bool(field.name == TRANSLATION and pa.types.is_struct(field.type))


def _flatten_translation(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with the columns that `_fields` lists."""
    if not any(_is_translation(field) for field in batch.schema):
        return batch
    arrays = [
        inner
        for field, array in zip(batch.schema, batch.columns, strict=True)
        for inner in (array.flatten() if _is_translation(field) else [array])
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_fields(batch.schema)))


def _inspect_cells(file: pq.ParquetFile, columns: Sequence[CellColumn]) -> list[CellColumn]:
    """Describe columns of texts and numbers by their first cells.

    A text may be an image in base64.
    """
    counts = Counter(column.name for column in columns)
    names = [
        column.name
        for column in columns
        if column.kind == "text" or (column.kind == "number" and counts[column.name] == 1)
    ]
    if not names:
        return list(columns)
    batches = file.iter_batches(batch_size=INSPECTED_ROWS, columns=names, use_threads=False)
    first = next(map(_flatten_translation, batches), None)
    cells = {name: [] if first is None else first.column(name).to_pylist() for name in names}
    return [_describe_cells(column, cells[column.name]) if column.name in cells else column for column in columns]


def _sample_texts(file: pq.ParquetFile, columns: Sequence[CellColumn]) -> list[list[Any]]:
    """Return the first cells of each column; only of texts, numbers and lists."""
    counts = Counter(column.name for column in columns)
    names = [column.name for column in columns if column.kind != "image" and counts[column.name] == 1]
    batches = file.iter_batches(batch_size=INSPECTED_ROWS, columns=names, use_threads=False) if names else iter(())
    first = next(map(_flatten_translation, batches), None)
    return [
        first.column(column.name).to_pylist() if first is not None and column.name in names else []
        for column in columns
    ]


def _describe_cells(column: CellColumn, cells: Sequence[Any]) -> CellColumn:
    if column.kind == "number":
        return replace(
            column,
            holds_pixels=are_pixels(cells),
            is_measured=are_measured(cells),
            repeats_values=repeat_values(cells),
        )
    texts = ["" if cell is None else str(cell) for cell in cells]
    kind: CellKind = "image" if kind_of_texts(texts) == "image" else column.kind
    mean_characters = sum(map(len, texts)) / max(1, len(texts))
    return CellColumn(
        column.name,
        kind,
        mean_characters,
        are_distinct(texts),
        are_references(texts),
        repeats_values=repeat_values(texts),
    )


def _cell_kind(type: pa.DataType) -> CellKind:
    if pa.types.is_dictionary(type):
        return _cell_kind(type.value_type)
    if pa.types.is_struct(type):
        return "image" if type.get_field_index("bytes") >= 0 else "other"
    if pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type):
        return "image"
    if pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type):
        return "number"
    return (
        "text" if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_boolean(type) else "other"
    )


def _to_float32(cells: pa.Array) -> np.ndarray:
    """Convert to float32, with NaN for cells without a value."""
    values: np.ndarray = cells.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _decode_classes(codes: Sequence[Any], class_names: Sequence[str]) -> list[Any]:
    """Replace class numbers by their names."""
    return [decode_class(code, class_names) for code in codes]


def _class_names(schema: pa.Schema, column: str | None) -> list[str]:
    """Read class names from the schema metadata; empty without any."""
    return [] if column is None else column_class_names(schema.metadata, column)
