"""Tables as JSON lines, one object per row."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ml.data.files.text import open_text, read_lines
from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch
from ml.data.formats.tables._memberships import Memberships
from ml.data.formats.tables._table_format import TableFormat
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations
from ml.data.tables.cells import (
    INSPECTED_ROWS,
    are_alike,
    are_distinct,
    are_measured,
    are_pixels,
    are_references,
    kind_of_texts,
    read_cells,
    repeat_values,
)
from ml.data.tables.column_aliases import TRANSLATION
from ml.data.tables.layout import CellColumn
from ml.data.tables.pixels import PixelReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.tables.cells import CellKind
    from ml.data.tables.layout import Layout


class NumberedObject(NamedTuple):
    """The object of one row with its line and row number, both from 1."""

    line: int
    row: int
    cells: dict[str, Any]


class Jsonl(TableFormat):
    """Objects whose keys are the columns.

    A missing key is a cell without a value.
    """

    name = "jsonl"
    summary = "JSON lines: one object per row, whose keys are the columns; an image is base64 or one key per pixel"
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"json"})

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one file after another."""
        yield from self.read_files(partial(self._read_file, pixels=PixelReader(self.issues)))

    def column_names(self, source: UploadedFile) -> list[str]:
        """Return the keys of the first objects."""
        names: dict[str, None] = {}
        with open_text(source, type(self.issues)(max_samples=0), self.limits) as text:
            for line in itertools.islice(read_lines(text), INSPECTED_ROWS):
                try:
                    cells = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(cells, dict):
                    names |= dict.fromkeys(name for name, cell in cells.items() if cell is not None)
        return list(names)

    def _read_file(self, source: UploadedFile, *, pixels: PixelReader) -> Iterator[Batch]:
        layout: Layout | None = None
        memberships = Memberships()
        columns: list[CellColumn] = []
        names: list[str] = []
        for objects in self._batches(source):
            if layout is None:
                _refuse_document(objects)
                columns = _describe_columns([cells for _, _, cells in objects[:INSPECTED_ROWS]])
                names = [column.name for column in columns]
                samples = [[cells.get(name) for _, _, cells in objects[:INSPECTED_ROWS]] for name in names]
                layout, memberships = self.detect_layout(source, columns, samples, has_header=True)
            pixel_names = [names[index] for index in layout.pixels]
            readable = [record for record in objects if self._has_numeric_pixels(source, record, pixel_names)]
            if readable:
                batch, rows = self._batch(source, readable, columns, layout, pixels)
                members = {
                    index: [readable[row].cells.get(names[index]) for row in rows] for index in memberships.positions
                }
                yield from memberships.divide(
                    batch, members, requested_split=source.requested_split, issues=self.issues
                )

    def _has_numeric_pixels(self, source: UploadedFile, record: NumberedObject, pixel_names: Sequence[str]) -> bool:
        for name in pixel_names:
            cell = record.cells.get(name)
            if _to_float(cell) is None:
                at = Location(file=source.name, line=record.line, row=record.row, column=name)
                actual = "nothing" if cell is None else cell
                self.issues.add("pixel_not_a_number", at=at, actual=actual, expected="a number", rows=1)
                return False
        return True

    def _batch(
        self,
        source: UploadedFile,
        objects: Sequence[NumberedObject],
        columns_of_file: Sequence[CellColumn],
        layout: Layout,
        pixels: PixelReader,
    ) -> tuple[Batch, list[int]]:
        """Convert cells to values; rows that cannot be converted are left out.

        Also returns the indices of the remaining rows.
        """
        lines_and_rows = np.array([(line, row) for line, row, _ in objects], dtype=np.int64).T
        names = [column.name for column in columns_of_file]
        file_names = layout.names(columns_of_file)
        locations = Locations(source.name, rows=lines_and_rows[1], lines=lines_and_rows[0], names=file_names)
        cells = layout.cells(
            {index: [row_cells.get(names[index]) for _, _, row_cells in objects] for index in layout.cell_positions}
        )
        values, retained_rows = read_cells(cells, locations, self.issues)
        indices = retained_rows
        columns: dict[str, Any] = dict(values)
        if layout.pixels:
            locations = locations.take(retained_rows)
            rows = [objects[index].cells for index in retained_rows]
            numbers = [[_to_float(row[names[index]]) for index in layout.pixels] for row in rows]
            with np.errstate(over="ignore"):
                array = np.array(numbers, dtype=np.float32).reshape(len(rows), len(layout.pixels))
            images, retained_rows = pixels.read(array, layout, locations, names)
            columns = {
                "image": images,
                **{name: [column[index] for index in retained_rows] for name, column in values.items()},
            }
            indices = [indices[index] for index in retained_rows]
        return Batch(columns, locations.take(retained_rows), source.split), indices

    def _batches(self, source: UploadedFile) -> Iterator[list[NumberedObject]]:
        objects: list[NumberedObject] = []
        character_count = row = 0
        with open_text(source, self.issues, self.limits) as text:
            for number, line in enumerate(read_lines(text), start=1):
                if not line.strip():
                    continue
                row += 1
                cells = self._parse(line, Location(file=source.name, line=number, row=row))
                if cells is None:
                    continue
                objects.append(NumberedObject(number, row, cells))
                character_count += len(line)
                if len(objects) >= ROWS_PER_BATCH or character_count > BYTES_PER_BATCH:
                    yield objects
                    objects, character_count = [], 0
        if objects:
            yield objects

    def _parse(self, line: str, at: Location) -> dict[str, Any] | None:
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            self.issues.add("json_invalid", at=at, actual=error, rows=1)
            return None
        if not isinstance(cells, dict):
            self.issues.add("json_not_an_object", at=at, actual=line.strip(), expected="an object", rows=1)
            return None
        return _flatten_question(_flatten_answers(_flatten_translation(cells)))


def _refuse_document(objects: Sequence[NumberedObject]) -> None:
    """Raise `DataRejected` for one object that holds the rows in an inner list."""
    if len(objects) == 1:
        for name, cell in objects[0].cells.items():
            if isinstance(cell, list) and len(cell) > 1 and all(isinstance(item, dict) for item in cell):
                actual = f"{len(cell):,} objects in {name}"
                raise DataRejected("json_is_one_document", actual=actual, expected="one object per line")


def _flatten_translation(cells: dict[str, Any]) -> dict[str, Any]:
    """Convert the translations of Hugging Face datasets to a column per language.

    They are written as `{"translation": {"en": ..., "de": ...}}`.
    """
    languages = cells.get(TRANSLATION)
    if not isinstance(languages, dict):
        return cells
    del cells[TRANSLATION]
    return {**{f"{TRANSLATION}.{language}": text for language, text in languages.items()}, **cells}


def _flatten_answers(cells: dict[str, Any]) -> dict[str, Any]:
    """Convert the answers of SQuAD, `{"answers": {"text": [...], "answer_start": [...]}}`, to the first one."""
    answers = cells.get("answers")
    if not isinstance(answers, dict) or not isinstance(answers.get("text"), list) or "answer" in cells:
        return cells
    texts = [text for text in answers["text"] if isinstance(text, str)]
    return {**{name: cell for name, cell in cells.items() if name != "answers"}, "answer": texts[0] if texts else ""}


def _flatten_question(cells: dict[str, Any]) -> dict[str, Any]:
    """Convert the question of ARC, `{"question": {"stem": "...", "choices": [...]}}`, to a column each."""
    question = cells.get("question")
    if not isinstance(question, dict) or not isinstance(question.get("stem"), str) or "choices" in cells:
        return cells
    parts = {"question" if name == "stem" else name: cell for name, cell in question.items()}
    return {**{name: cell for name, cell in cells.items() if name != "question"}, **parts}


def _to_float(cell: Any) -> float | None:
    """Return the number in a cell or its text; None for anything else."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def _describe_columns(records: Sequence[Mapping[str, Any]]) -> list[CellColumn]:
    names = list(dict.fromkeys(name for record in records for name in record))
    return [
        _describe_column(name, [record[name] for record in records if record.get(name) is not None]) for name in names
    ]


def _describe_column(name: str, cells: Sequence[Any]) -> CellColumn:
    kind: CellKind = "other"
    if cells and all(isinstance(cell, str) for cell in cells):
        kind = "image" if kind_of_texts(cells) == "image" else "text"
    elif cells and all(isinstance(cell, int | float) for cell in cells):
        kind = "number"
    mean_characters = sum(len(cell) for cell in cells if isinstance(cell, str)) / max(1, len(cells))
    return CellColumn(
        name,
        kind,
        mean_characters,
        are_distinct(cells),
        are_references(cells),
        are_pixels(cells),
        kind == "number" and are_measured(cells),
        kind != "other" and repeat_values(cells),
        kind == "text" and are_alike(cells),
    )
