"""Tables in Parquet: texts, labels, pictures as bytes, as base64, or as one column a pixel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.formats.base import ROWS_PER_BATCH, Batch, Format, Locations
from ml.data.issues import DataRejected, Location
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    CellColumn,
    CellKind,
    Layout,
    PixelReader,
    are_distinct,
    find_layout,
    kind_of_texts,
    read_cells,
)
from ml.data.tables.column_aliases import KIND_OF, TRANSLATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile

_HEAVY_ROWS_A_BATCH: Final = 64
"""Few, since nothing says how large they are before they are read."""
_NO_CLASS: Final = -1
_LARGEST_FOOTER_STRING: Final = 16 << 20


class Parquet(Format):
    """Limits are taken from the footer, before any page is unpacked; a few pages can claim to be millions of rows."""

    name = "parquet"
    summary = (
        "Parquet: texts and labels; a picture as bytes (as Hugging Face stores it) or base64, or as one column a pixel"
    )
    columns: ClassVar[Mapping[str, str]] = KIND_OF
    reads: ClassVar[frozenset[FileContent]] = frozenset({"parquet"})
    takes_columns = True

    def read(self) -> Iterator[Batch]:
        """File by file."""
        pixels = PixelReader(self.findings)
        for source in self.sources:
            try:
                yield from self._read_file(source, pixels)
            except DataRejected as refused:
                self.findings.record(refused, at=Location(file=source.name))
            except MemoryError:
                raise
            except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
                self.findings.add("damaged_file", at=Location(file=source.name), found=error)

    def _read_file(self, source: UploadedFile, pixels: PixelReader) -> Iterator[Batch]:
        if source.packing:
            raise DataRejected(
                "unsupported_file", found=f"Parquet inside {source.packing}", expected="Parquet as it is"
            )
        with pq.ParquetFile(source.path, thrift_string_size_limit=_LARGEST_FOOTER_STRING) as file:
            self._check_size(file.metadata)
            columns = [CellColumn(field.name, _kind(field.type)) for field in _fields(file.schema_arrow)]
            columns = self._look_at_texts(file, columns)
            layout = find_layout(columns, self.asked, named=True, wanted=self.wanted)
            self.guess = self.guess or layout.guess(columns)
            if layout.shape_assumed:
                found = f"{len(layout.pixels)} columns"
                self.findings.add("pixels_shape_assumed", at=Location(file=source.name), found=found)
            yield from self._batches(source, file, layout, [column.name for column in columns], pixels)

    def _check_size(self, metadata: pq.FileMetaData) -> None:
        limits = self.limits
        if metadata.num_rows > limits.max_rows:
            found, expected = f"{metadata.num_rows:,} rows", f"at most {limits.max_rows:,} rows"
            raise DataRejected("too_many_rows", found=found, expected=expected)
        if metadata.num_columns > limits.max_columns or metadata.num_rows * metadata.num_columns > limits.max_cells:
            found = f"{metadata.num_rows:,} rows x {metadata.num_columns:,} columns"
            expected = f"at most {limits.max_columns:,} columns and {limits.max_cells:,} cells"
            raise DataRejected("table_too_large", found=found, expected=expected)

    def _look_at_texts(self, file: pq.ParquetFile, columns: Sequence[CellColumn]) -> list[CellColumn]:
        """Text may be pictures in base64."""
        texts = [column.name for column in columns if column.kind == "text"]
        if not texts:
            return list(columns)
        first = next(map(_flat, file.iter_batches(batch_size=INSPECTED_ROWS, columns=texts, use_threads=False)), None)
        cells = {name: [] if first is None else _texts(first.column(name)) for name in texts}
        return [_seen(column, cells[column.name]) if column.name in cells else column for column in columns]

    def _batches(
        self, source: UploadedFile, file: pq.ParquetFile, layout: Layout, names: Sequence[str], pixels: PixelReader
    ) -> Iterator[Batch]:
        read = [names[index] for index in (*layout.columns.values(), *layout.pixels)]
        label = layout.columns.get("label")
        class_names = _class_names(file.schema_arrow, None if label is None else names[label])
        size = _HEAVY_ROWS_A_BATCH if "image" in layout.columns else ROWS_PER_BATCH
        called = {canonical: names[index] for canonical, index in layout.columns.items()}
        row = 0
        for table in map(_flat, file.iter_batches(batch_size=size, columns=read, use_threads=False)):
            places = Locations(source.name, rows=range(row + 1, row + len(table) + 1), names=called)
            row += len(table)
            cells = {name: table.column(names[index]).to_pylist() for name, index in layout.columns.items()}
            if class_names:
                cells["label"] = _named(cells["label"], class_names)
            values, kept = read_cells(cells, places, self.findings)
            columns: dict[str, Any] = dict(values)
            if layout.pixels:
                numbers = np.stack([_numbers(table.column(names[index])) for index in layout.pixels], axis=1)
                places = places.take(kept)
                pictures, kept = pixels.read(numbers, layout, places, names)
                columns = {"image": pictures, **{name: [each[at] for at in kept] for name, each in values.items()}}
            yield Batch(columns, places.take(kept), source.split)


def _fields(schema: pa.Schema) -> list[pa.Field]:
    """The columns; a text in several languages (Hugging Face's `translation`) is one for each."""
    return [inner for field in schema for inner in (field.flatten() if _is_translation(field) else [field])]


def _is_translation(field: pa.Field) -> bool:
    return bool(field.name == TRANSLATION and pa.types.is_struct(field.type))


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With the columns that `_fields` tells."""
    if not any(_is_translation(field) for field in batch.schema):
        return batch
    arrays = [
        inner
        for field, array in zip(batch.schema, batch.columns, strict=True)
        for inner in (array.flatten() if _is_translation(field) else [array])
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(_fields(batch.schema)))


def _seen(column: CellColumn, cells: Sequence[str]) -> CellColumn:
    """Text may be pictures in base64."""
    kind: CellKind = "image" if kind_of_texts(cells) == "image" else column.kind
    return CellColumn(column.name, kind, sum(map(len, cells)) / max(1, len(cells)), are_distinct(cells))


def _kind(type: pa.DataType) -> CellKind:
    if pa.types.is_dictionary(type):
        return _kind(type.value_type)
    if pa.types.is_struct(type):
        return "image" if type.get_field_index("bytes") >= 0 else "other"
    if pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type):
        return "image"
    if pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type):
        return "number"
    return (
        "text" if pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_boolean(type) else "other"
    )


def _texts(cells: pa.Array) -> list[str]:
    return ["" if cell is None else str(cell) for cell in cells.to_pylist()]


def _numbers(cells: pa.Array) -> np.ndarray:
    """float32, NaN where there is no value."""
    values: np.ndarray = cells.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _named(codes: Sequence[Any], class_names: Sequence[str]) -> list[Any]:
    """Numbers by their names; -1 is how Hugging Face writes that there is no label."""
    names: dict[Any, str | None] = {**dict(enumerate(class_names)), _NO_CLASS: None}
    return [names.get(code, code) for code in codes]


def _class_names(schema: pa.Schema, column: str | None) -> list[str]:
    """As Hugging Face's `ClassLabel` notes them beside the numbers."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = noted["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else []
