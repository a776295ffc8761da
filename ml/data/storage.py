"""Writing a dataset: as it will be read, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ml.data import images
from ml.data.dataset import SPLITS, SUMMARY, array_path, table_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml.data.dataset import DatasetSummary
    from ml.data.limits import Limits
    from ml.data.staging import Staging

IMAGE: Final = "image"
LABEL: Final = "label"


@contextmanager
def published(into: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `into` when all went well and is gone when not."""
    into.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        yield scratch
        for file in scratch.iterdir():
            _settle(file)
        scratch.replace(into)
        _settle(into.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write(directory: Path, staging: Staging, splits: np.ndarray, codes: np.ndarray, *, limits: Limits) -> str:
    """Write the rows of every split (int8 [N] into `SPLITS`, below 0: left out) and return their digest."""
    shape = staging.shapes.one
    if shape is not None and len(staging) * np.prod(shape, dtype=np.int64) > limits.max_raw_bytes:
        shape = None
    writers = {
        code: _SplitWriter(
            directory, SPLITS[code], int((splits == code).sum()), shape, labelled=bool((codes >= 0).all())
        )
        for code in np.unique(splits[splits >= 0])
    }
    for segment, pictures in staging.load():
        rows = np.arange(segment.start, segment.start + len(segment))
        for code, writer in writers.items():
            chosen = np.flatnonzero(splits[rows] == code)
            if len(chosen):
                writer.append(pictures, chosen, codes[rows[chosen]])
    for writer in writers.values():
        writer.close()
    return _digest(staging, splits, codes)


def write_summary(directory: Path, summary: DatasetSummary) -> None:
    """`dataset.json`."""
    (directory / SUMMARY).write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")


class _SplitWriter:
    """One split, appended to batch by batch."""

    def __init__(
        self, directory: Path, split: str, rows: int, shape: tuple[int, int, int] | None, *, labelled: bool
    ) -> None:
        self._array = None
        fields = [pa.field(LABEL, pa.int32())] if labelled else []
        if shape is None:
            fields.append(pa.field(IMAGE, pa.large_binary()))
        else:
            self._array = array_path(directory, split, IMAGE).open("wb")
            header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *shape)}
            np.lib.format.write_array_header_1_0(self._array, header)
        self._schema = pa.schema(fields)
        self._table = pa.ipc.new_file(str(table_path(directory, split)), self._schema)

    def append(self, pictures: np.ndarray | list[bytes], chosen: np.ndarray, codes: np.ndarray) -> None:
        """The chosen of these pictures, with their labels."""
        columns = {LABEL: pa.array(codes, pa.int32())} if LABEL in self._schema.names else {}
        if self._array is None:
            columns[IMAGE] = pa.array(_encoded(pictures, chosen), pa.large_binary())
        else:
            for pixels in _decoded(pictures, chosen):
                self._array.write(np.ascontiguousarray(pixels).data)
        if columns:
            self._table.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Complete the files."""
        self._table.close()
        if self._array:
            self._array.close()


def _decoded(pictures: np.ndarray | list[bytes], chosen: np.ndarray) -> Iterator[np.ndarray]:
    if isinstance(pictures, np.ndarray):
        yield pictures if len(chosen) == len(pictures) else pictures[chosen]
    else:
        for index in chosen:
            yield images.decode(pictures[index])


def _encoded(pictures: np.ndarray | list[bytes], chosen: np.ndarray) -> Sequence[bytes]:
    if isinstance(pictures, np.ndarray):
        return [images.encode_png(pictures[index]) for index in chosen]
    return [pictures[index] for index in chosen]


def _digest(staging: Staging, splits: np.ndarray, codes: np.ndarray) -> str:
    """Of what the rows are, not of how they are stored."""
    digest = hashlib.sha256()
    hashes = staging.hashes
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == code)
        digest.update(json.dumps([split, len(rows)]).encode())
        digest.update(hashes[rows].tobytes())
        digest.update(codes[rows].astype("<i4").tobytes())
    return digest.hexdigest()


def _settle(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
