"""Encoded rows in mapped files, which runs and trials share.

They are made in blocks, once for a dataset and its encoders. The memory of a training then does not grow with its rows.
Few rows stay in memory, and so do images, which are mapped in the files of their dataset already.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ml.atomic_directory import atomic_directory
from ml.encoders.text import BLOCK_TEXTS
from ml.preprocessing.ragged_array import MappedTexts, RaggedArray, RaggedWriter, to_bytes
from ml.signals import Signal
from plinth import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml.data.dataset import Dataset
    from ml.data.rows import Rows
    from ml.encoders.base import Column
    from ml.tasks.base import BatchAdapter

log = logging.getLogger(__name__)

#: Rows that are encoded at a time; no more than these stay in memory.
BLOCK_ROWS: Final = BLOCK_TEXTS
#: Bytes of a dataset above which packed texts are stored, however few they are.
MIN_PACKED_BYTES: Final = 16 << 20
#: File that names the columns, and what encoders dropped.
CONTENT: Final = "rows.json"
#: Changes with the format of the files.
FORMAT_VERSION: Final = 1
_KEY_CHARACTERS: Final = 32

Losses = dict[str, dict[str, int]]


class _CannotStore(Exception):
    """Rows that have no common type, which stay in memory."""


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Columns of a split, and by encoder the counts of what was dropped."""

    columns: dict[str, Column]
    losses: Losses


@dataclass(frozen=True, slots=True)
class RowEncoder:
    """Encodes splits with a reader, whose encoders have learned all that they will."""

    reader: BatchAdapter
    #: Folder of the stored rows, perhaps of several runs.
    folder: Path
    #: Identifies reader and dataset.
    key: str
    #: Bytes of the files of the dataset.
    dataset_bytes: int

    @classmethod
    def create(cls, reader: BatchAdapter, folder: Path, *, dataset: Dataset) -> RowEncoder:
        """Make the encoder of a run, before its training changes the state of the task."""
        key = f"{dataset.summary.digest[:_KEY_CHARACTERS]}-{_digest(reader)[:_KEY_CHARACTERS]}"
        size = sum(file.stat().st_size for file in dataset.directory.iterdir() if file.is_file())
        return cls(reader, folder, key, size)

    def encode(self, rows: Rows, selection: str) -> EncodedRows:
        """Return the encoded rows; many of them from files that a run has written.

        `selection` names the rows among those of the dataset. Raises `OSError` if the disk is full.
        """
        if not self._is_stored(rows):
            return self._encode_in_memory(rows)
        target = self.folder / f"{self.key}-{hashlib.sha256(selection.encode()).hexdigest()[:_KEY_CHARACTERS]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_suffix(".lock")):
            with suppress(OSError, ValueError, KeyError):  # absent or damaged files are written anew
                os.utime(target)  # rows that are read are needed
                return _open(target)
            try:
                with atomic_directory(target, replace=True) as directory:
                    self._write(rows, directory)
            except _CannotStore as error:
                log.info("encoded rows stay in memory: %s", error)
                return self._encode_in_memory(rows)
            return _open(target)

    def _is_stored(self, rows: Rows) -> bool:
        """Return whether rows are many; of texts that are packed, few may be long."""
        has_images = any(encoder.signal is Signal.IMAGE for encoder in self.reader.slot_encoders.values())
        is_long = not self.reader.encodes_rows_alone and self.dataset_bytes > MIN_PACKED_BYTES and len(rows) > 0
        return (len(rows) > BLOCK_ROWS or is_long) and not has_images

    def _encode_in_memory(self, rows: Rows) -> EncodedRows:
        self._pop_losses()
        return EncodedRows(self.reader.encode(rows), self._pop_losses())

    def _pop_losses(self) -> Losses:
        losses = {name: encoder.pop_losses() for name, encoder in self.reader.slot_encoders.items()}
        return {name: counts for name, counts in losses.items() if counts}

    def _write(self, rows: Rows, directory: Path) -> None:
        self._pop_losses()
        writers: dict[str, _Writer] = {}
        scratch = directory / "scratch"
        scratch.mkdir()
        self.reader.scratch = scratch
        try:
            for columns in self._blocks(rows):
                if writers and writers.keys() != columns.keys():
                    raise _CannotStore(f"blocks have the columns {sorted(columns)} and {sorted(writers)}")
                for name, column in columns.items():
                    if name not in writers:
                        writers[name] = _Writer.of(directory, name, column)
                    writers[name].append(column)
        finally:
            self.reader.scratch = None
            for writer in writers.values():
                writer.rows.close()
        for writer in writers.values():
            writer.rows.finish()
        shutil.rmtree(scratch)
        content = {"columns": {name: writer.kind for name, writer in writers.items()}, "losses": self._pop_losses()}
        (directory / CONTENT).write_text(json.dumps(content))

    def _blocks(self, rows: Rows) -> Iterator[dict[str, Column]]:
        """Yield the columns of all rows, block by block if no row depends on another."""
        if not self.reader.encodes_rows_alone:
            yield self.reader.encode(rows)
            return
        for start in range(0, len(rows), BLOCK_ROWS):
            yield self.reader.encode(rows[start : start + BLOCK_ROWS])


@dataclass(frozen=True, slots=True)
class _Writer:
    """Appends blocks of one column.

    An array is one row for each of its rows: `RaggedArray` with rows of one value.
    """

    kind: Literal["array", "ragged", "texts"]
    rows: RaggedWriter

    @classmethod
    def of(cls, directory: Path, name: str, column: Column) -> _Writer:
        return cls(_kind_of(column), RaggedWriter(directory, name))

    def append(self, column: Column) -> None:
        """Append a block; raises `_CannotStore` for one of another type."""
        if _kind_of(column) != self.kind:
            raise _CannotStore(f"blocks are {self.kind} and {_kind_of(column)}")
        try:
            if isinstance(column, np.ndarray):
                self.rows.extend_array(column)
            else:
                self.rows.extend(map(to_bytes, column) if self.kind == "texts" else column)
        except (ValueError, AttributeError) as error:
            raise _CannotStore(str(error)) from None


def _kind_of(column: Column) -> Literal["array", "ragged", "texts"]:
    if isinstance(column, np.ndarray):
        return "array"
    if isinstance(column[0], np.ndarray):
        return "ragged"
    if all(isinstance(value, str) for value in column):
        return "texts"
    raise _CannotStore(f"a column has values of type {type(column[0]).__name__}")


def _open(directory: Path) -> EncodedRows:
    content = json.loads((directory / CONTENT).read_bytes())
    columns: dict[str, Column] = {}
    for name, kind in content["columns"].items():
        rows = RaggedArray.open(directory, name)
        columns[name] = rows.values if kind == "array" else MappedTexts(rows) if kind == "texts" else rows
    return EncodedRows(columns, content["losses"])


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with its process: others wait for what it writes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(reader: BatchAdapter) -> str:
    """Return the SHA-256 of everything by which a reader encodes rows."""
    config, state = getattr(reader, "config", None), getattr(reader, "state", {})
    settings = {
        "format": FORMAT_VERSION,
        "version": __version__,
        "reader": f"{type(reader).__module__}.{type(reader).__qualname__}",
        "packs": getattr(reader, "packs", None),
        "config": config.model_dump(mode="json") if config is not None else None,
        "state": state,
        "encoders": {name: type(encoder).name for name, encoder in reader.slot_encoders.items()},
    }
    sha256 = hashlib.sha256(json.dumps(settings, sort_keys=True, default=_to_json).encode())
    for name, encoder in sorted(reader.slot_encoders.items()):
        with tempfile.TemporaryDirectory() as folder:
            encoder.save(Path(folder))
            for file in sorted(Path(folder).rglob("*")):
                sha256.update(f"{name}/{file.name} {file.stat().st_size}\n".encode())
                sha256.update(file.read_bytes() if file.is_file() else b"")
    return sha256.hexdigest()


def _to_json(value: Any) -> Any:
    """Return a value of a task's state that JSON does not have."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value.tolist() if isinstance(value, np.generic) else repr(value)
