"""Tables in Parquet: pictures as bytes, as base64, or as one column a pixel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.data.findings import Place, Refused
from ml.data.formats.base import ROWS_A_BATCH, Batch, Format, Places
from ml.data.tables import (
    CellColumn,
    CellKind,
    Layout,
    PixelReader,
    decode_base64,
    decode_cells,
    find_layout,
    kind_of_texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.dataset import Kind
    from ml.data.sources import Content, Source

_PICTURES_A_BATCH: Final = 64
"""Few, since nothing says how large they are before they are read."""
_LARGEST_FOOTER_STRING: Final = 16 << 20


class Parquet(Format):
    """Limits are taken from the footer, before any page is unpacked; a few pages can claim to be millions of rows."""

    name = "parquet"
    summary = "Parquet: a label and the picture as bytes (as Hugging Face stores it) or base64, or one column a pixel"
    columns: ClassVar[Mapping[str, Kind]] = {"image": "image", "label": "label"}
    reads: ClassVar[frozenset[Content]] = frozenset({"parquet"})
    takes_columns = True

    def read(self) -> Iterator[Batch]:
        """File by file."""
        pixels = PixelReader(self.findings)
        for source in self.sources:
            try:
                yield from self._read_file(source, pixels)
            except Refused as refused:
                self.findings.record(refused, at=Place(file=source.name))
            except MemoryError:
                raise
            except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
                self.findings.add("damaged_file", at=Place(file=source.name), found=error)

    def _read_file(self, source: Source, pixels: PixelReader) -> Iterator[Batch]:
        if source.packing:
            raise Refused("unsupported_file", found=f"Parquet inside {source.packing}", expected="Parquet as it is")
        with pq.ParquetFile(source.path, thrift_string_size_limit=_LARGEST_FOOTER_STRING) as file:
            self._check_size(file.metadata)
            schema = file.schema_arrow
            columns = [CellColumn(field.name, _kind(field.type)) for field in schema]
            columns = self._look_at_texts(file, columns)
            layout = find_layout(columns, self.asked, named=True)
            self.guess = self.guess or layout.guess(columns)
            if layout.shape_assumed:
                found = f"{len(layout.pixels)} columns"
                self.findings.add("pixels_shape_assumed", at=Place(file=source.name), found=found)
            yield from self._batches(source, file, layout, [column.name for column in columns], pixels)

    def _check_size(self, metadata: pq.FileMetaData) -> None:
        limits = self.limits
        if metadata.num_rows > limits.max_rows:
            found, expected = f"{metadata.num_rows:,} rows", f"at most {limits.max_rows:,} rows"
            raise Refused("too_many_rows", found=found, expected=expected)
        if metadata.num_columns > limits.max_columns or metadata.num_rows * metadata.num_columns > limits.max_cells:
            found = f"{metadata.num_rows:,} rows x {metadata.num_columns:,} columns"
            expected = f"at most {limits.max_columns:,} columns and {limits.max_cells:,} cells"
            raise Refused("table_too_large", found=found, expected=expected)

    def _look_at_texts(self, file: pq.ParquetFile, columns: Sequence[CellColumn]) -> list[CellColumn]:
        """Text may be pictures in base64."""
        texts = [column.name for column in columns if column.kind == "text"]
        if not texts:
            return list(columns)
        first = next(file.iter_batches(batch_size=8, columns=texts, use_threads=False), None)
        kinds = {} if first is None else {name: kind_of_texts(_texts(first.column(name))) for name in texts}
        return [
            CellColumn(column.name, "image" if kinds.get(column.name) == "image" else column.kind) for column in columns
        ]

    def _batches(
        self, source: Source, file: pq.ParquetFile, layout: Layout, names: Sequence[str], pixels: PixelReader
    ) -> Iterator[Batch]:
        wanted = [names[index] for index in (layout.label, layout.image, *layout.pixels) if index is not None]
        class_names = _class_names(file.schema_arrow, None if layout.label is None else names[layout.label])
        size = ROWS_A_BATCH if layout.image is None else _PICTURES_A_BATCH
        row = 0
        for table in file.iter_batches(batch_size=size, columns=wanted, use_threads=False):
            places = Places(source.name, rows=range(row + 1, row + len(table) + 1))
            row += len(table)
            pictures: Any
            if layout.image is not None:
                cells = _pictures(table.column(names[layout.image]))
                pictures, kept = decode_cells(cells, places, self.findings, decode=_decode)
            else:
                values = np.stack([_numbers(table.column(names[index])) for index in layout.pixels], axis=1)
                pictures, kept = pixels.read(values, layout, places, names)
            columns = {"image": pictures}
            if layout.label is not None:
                labels = _labels(table.column(names[layout.label]), class_names)
                columns["label"] = [labels[index] for index in kept]
            yield Batch(columns, places.take(kept), source.split)


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


def _pictures(cells: pa.Array) -> list[bytes | str | None]:
    if pa.types.is_struct(cells.type):
        cells = cells.field(cells.type.get_field_index("bytes"))
    found: list[bytes | str | None] = cells.to_pylist()
    return found


def _decode(cell: bytes | str | None) -> bytes:
    if isinstance(cell, bytes):
        return cell
    return decode_base64(cell or "")


def _numbers(cells: pa.Array) -> np.ndarray:
    """float32, NaN where there is no value."""
    values: np.ndarray = cells.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _labels(cells: pa.Array, class_names: Sequence[str]) -> list[str]:
    values = cells.to_pylist()
    if class_names and all(isinstance(value, int) and 0 <= value < len(class_names) for value in values):
        return [class_names[value] for value in values]
    return ["" if value is None else _label(value) for value in values]


def _label(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _class_names(schema: pa.Schema, column: str | None) -> list[str]:
    """As Hugging Face's `ClassLabel` notes them beside the numbers."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = noted["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else []
