"""Inputs of `plinth predict`: texts, JSON, files, folders, tables, standard input."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plinth.client.errors import PlinthError, no_such_file

if TYPE_CHECKING:
    from plinth.client.client import Plinth

STANDARD_INPUT = "-"
#: Tables, whose rows are inputs.
DELIMITERS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
#: Files that systems leave in folders.
IGNORED = frozenset({"Thumbs.db", "desktop.ini"})
#: Characters of a file that show its delimiter.
SNIFFED_CHARACTERS = 16_384
MAX_NAME_CHARACTERS = 60
#: Between the columns of a joined text, as in `subject + description`.
JOIN_SIGN = "+"
#: Between the parts of a joined text, as datasets are read.
JOIN_TEXT = "\n\n"


@dataclass(frozen=True, kw_only=True)
class NamedInput:
    """One input, and how it is named in the output."""

    #: Empty for the only input.
    name: str
    #: A JSON input, a file or its content.
    value: Mapping[str, Any] | Path | bytes
    #: Cells of the row of a table, by column.
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        """True if the value is sent unchanged, in a form."""
        return not isinstance(self.value, Mapping)


@dataclass(frozen=True)
class Inputs:
    """All inputs of one call, in order."""

    inputs: Sequence[NamedInput]
    #: True if all are rows of tables.
    is_table: bool


def read_inputs(plinth: Plinth, model: str, arguments: Sequence[str], *, columns: Mapping[str, Any] | None) -> Inputs:
    """Read what was typed: texts, JSON, files, folders, tables, standard input.

    Raises:
        PlinthError: A file is missing, or a table has no column for an input.
    """
    reader = _Reader(plinth, model, columns or {})
    inputs = [item for argument in arguments for item in reader.read(argument, is_only=len(arguments) == 1)]
    if not inputs:
        raise PlinthError(f"No input in {', '.join(arguments)}. Name a folder with files, a table with rows, or JSON.")
    return Inputs(inputs, is_table=all(item.row for item in inputs))


class _Reader:
    def __init__(self, plinth: Plinth, model: str, columns: Mapping[str, Any]) -> None:
        self._plinth = plinth
        self._model = model
        self._columns = {name: str(column) for name, column in columns.items()}
        self._schema: Mapping[str, Any] | None = None

    def read(self, argument: str, *, is_only: bool) -> list[NamedInput]:
        if argument == STANDARD_INPUT:
            return self._read_standard_input()
        if argument.lstrip().startswith(("{", "[")):
            return self._read_json(argument)
        path = Path(argument)
        if path.is_dir():
            return self._read_folder(path)
        if path.is_file():
            return self._read_file(path, name="" if is_only else argument)
        return [self._read_text(argument, name="" if is_only else argument[:MAX_NAME_CHARACTERS])]

    def _read_file(self, path: Path, *, name: str) -> list[NamedInput]:
        suffix = path.suffix.lower()
        if suffix in DELIMITERS:
            return self._read_table(path, DELIMITERS[suffix])
        if suffix in JSON_LINES:
            return self._to_rows(path, _read_json_lines(path))
        return [NamedInput(name=name, value=path)]

    def _read_folder(self, folder: Path) -> list[NamedInput]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_ignored(path, folder)]
        return [NamedInput(name=str(path), value=path) for path in files]

    def _read_table(self, path: Path, delimiter: str) -> list[NamedInput]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(SNIFFED_CHARACTERS)
            file.seek(0)
            if delimiter == "," and sample.partition("\n")[0].count(";") > sample.partition("\n")[0].count(","):
                delimiter = ";"
            rows = list(csv.DictReader(file, delimiter=delimiter, restkey="", restval=""))
        return self._to_rows(path, [{name: cell for name, cell in row.items() if name} for row in rows])

    def _to_rows(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> list[NamedInput]:
        """Make an input of each row, from the columns that the model reads."""
        mapping = self._map_columns(path, rows[0] if rows else {})
        return [
            NamedInput(
                name=f"{path} row {number}",
                value=self._to_value(row, mapping),
                row=row,
            )
            for number, row in enumerate(rows, 1)
        ]

    def _to_value(self, row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the input of a row, by field.

        Cells are joined, and are numbers where the model reads numbers.
        """
        properties = self._read_schema().get("properties", {})
        value = {}
        for name, column in mapping.items():
            cells = [row.get(part) for part in split_columns(column, row)]
            present = [cell for cell in cells if cell not in (None, "")]
            if present:
                joined = present[0] if len(present) == 1 else JOIN_TEXT.join(str(cell).strip() for cell in present)
                value[name] = _to_number(joined, properties.get(name, {}))
        return value

    def _map_columns(self, path: Path, row: Mapping[str, Any]) -> dict[str, str]:
        """Map fields of the input to columns of the table.

        By `--columns`, by equal names, or by the names that the training data had.
        """
        fields = list(self._read_schema().get("properties", {}))
        parts = [part for column in self._columns.values() for part in split_columns(column, row)]
        if missing := [column for column in parts if column not in row]:
            raise PlinthError(f"{path} has no column {missing[0]!r}; it has {', '.join(row)}.")
        if unknown := [name for name in self._columns if name not in fields]:
            raise PlinthError(f"The input of {self._model} has no field {unknown[0]!r}; it has {', '.join(fields)}.")
        mapping = self._columns or {name: name for name in fields if name in row}
        required = self._required_fields()
        if all(name in mapping for name in required) and mapping:
            return mapping
        trained = self._training_columns()
        mapping |= {
            name: trained[name]
            for name in required
            if name in trained and name not in mapping and set(split_columns(trained[name], row)) <= row.keys()
        }
        if len(required) == 1 and len(row) == 1:
            mapping.setdefault(required[0], next(iter(row)))
        if unmapped := [name for name in required or fields[:1] if name not in mapping]:
            longest = max(row, key=lambda name: len(str(row[name])), default="COLUMN")
            raise PlinthError(
                f"{path}: no column is named {unmapped[0]!r}; it has {', '.join(row) or 'no rows'}. Name one: "
                f"--columns {unmapped[0]}={longest}"
            )
        return mapping

    def _training_columns(self) -> Mapping[str, str]:
        """Return the columns of the training data by field; empty if unknown."""
        version = self._plinth.models.get(self._model)
        dataset = (version.lineage.dataset or {}).get("id") if version.lineage else None
        if not dataset:
            return {}
        try:
            guess = self._plinth.datasets.report(dataset).guess or {}
        except PlinthError:
            return {}
        return {name: str(column) for name, column in (guess.get("columns") or {}).items()}

    def _read_text(self, text: str, *, name: str) -> NamedInput:
        """Make an input of a text; raises `PlinthError` for the name of a missing file."""
        if " " not in text and (Path(text).suffix != "" or "/" in text):
            raise no_such_file(text)
        required = self._required_fields()
        properties = self._read_schema().get("properties", {})
        text_fields = [field for field in required or properties if _is_text(properties.get(field, {}))]
        if not text_fields:
            raise no_such_file(text)
        return NamedInput(name=name, value={text_fields[0]: text})

    def _read_json(self, text: str) -> list[NamedInput]:
        try:
            content = json.loads(text)
        except ValueError as error:
            raise PlinthError(f"The input is not JSON ({error}). Quote all of it for the shell.") from None
        items = content if isinstance(content, list) else [content]
        if len(items) == 1:
            return [NamedInput(name="", value=items[0])]
        return [NamedInput(name=f"input {number}", value=item) for number, item in enumerate(items, 1)]

    def _read_standard_input(self) -> list[NamedInput]:
        content = sys.stdin.buffer.read()
        try:
            text = content.decode().strip()
        except UnicodeDecodeError:
            return [NamedInput(name="", value=content)]
        if text.startswith(("{", "[")):
            lines = text.splitlines()
            if len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines if line):
                return self._to_rows(Path("standard input"), [json.loads(line) for line in lines if line])
            return self._read_json(text)
        if not text:
            raise PlinthError("Standard input is empty. Pipe a text, JSON or a file into the command.")
        properties = self._read_schema().get("properties", {})
        fields = [name for name in self._required_fields() or properties if _is_text(properties.get(name, {}))]
        return [NamedInput(name="", value={fields[0]: text} if fields else content)]

    def _required_fields(self) -> list[str]:
        """Return the required fields, or without any the first that is a text."""
        schema = self._read_schema()
        if required := list(schema.get("required", ())):
            return required
        texts = [name for name, value in schema.get("properties", {}).items() if _is_text(value)]
        return texts[:1]

    def _read_schema(self) -> Mapping[str, Any]:
        if self._schema is None:
            self._schema = self._plinth.models.signature(self._model)["input_schema"]
        return self._schema


def split_columns(column: str, row: Mapping[str, Any]) -> list[str]:
    """Return the columns that a text is joined from, or the column itself."""
    return [column] if column in row else [part.strip() for part in column.split(JOIN_SIGN)]


def _to_number(cell: Any, schema: Mapping[str, Any]) -> Any:
    """Return a cell as the number that the schema expects; unchanged if it is none."""
    types = {option.get("type") for option in schema.get("anyOf", [schema])}
    types |= {kind for kinds in types if isinstance(kinds, list) for kind in kinds}
    if not isinstance(cell, str) or "string" in types or not types & {"number", "integer"}:
        return cell
    try:
        return json.loads(cell) if cell.strip().lstrip("-").isdecimal() else float(cell.replace(",", "."))
    except ValueError:
        return cell


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Return whether a field of an input is a text that a person would type."""
    options = schema.get("anyOf", [schema])
    return any(option.get("type") == "string" and "contentEncoding" not in option for option in options)


def _is_ignored(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return path.name in IGNORED or any(part.startswith((".", "__MACOSX")) for part in parts)


def _read_json_lines(path: Path) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            message = f"{path} line {number} is not JSON ({error})."
            raise PlinthError(f"{message} Write one object on each line.") from None
        if not isinstance(row, dict):
            message = f"{path} line {number} is no JSON object."
            raise PlinthError(f'{message} Write one on each line, like {{"text": "..."}}.')
        rows.append(row)
    return rows
