"""Small uploads of every format, all of the same images."""

import base64
import csv
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ml.data.importing.importer import import_dataset
from ml.data.limits import Limits
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.support.repository import SHARED_DATA

#: Issues of texts that are alike or name their class, as made-up texts do, and notes on what tools write beside data.
MADE_UP = frozenset(
    {
        *("near_duplicates_across_splits", "near_duplicate_rows", "label_leaked_by_column", "label_leaked_by_files"),
        *("texts_from_templates", "details_not_read"),
        *("feature_predicts_label", "column_predicts_label"),
    }
)
MNIST = SHARED_DATA / "mnist"


def make_images(count: int = 40, *, side: int = 6, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Make random images, uint8 [count, side, side, channels], all different."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def make_labels(count: int = 40, *, classes: int = 2) -> list[str]:
    return [str(index % classes) for index in range(count)]


def encode_image(pixels: np.ndarray, *, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, format, **options)
    return file.getvalue()


def make_png(seed: int = 0, *, side: int = 6) -> bytes:
    return encode_image(make_images(1, seed=seed, side=side)[0])


def make_oversized_png(width: int, height: int) -> bytes:
    """Make a PNG whose header claims a size that its pixels do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def make_idx(values: np.ndarray, *, type_code: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, type_code, values.ndim, *values.shape) + values.tobytes()


def make_idx_pair(images: np.ndarray, names: Sequence[str], *, prefix: str = "train") -> dict[str, bytes]:
    return {
        f"{prefix}-images-idx3-ubyte": make_idx(images[:, :, :, 0]),
        f"{prefix}-labels-idx1-ubyte": make_idx(np.array(names, dtype=np.uint8)),
    }


def make_csv(
    images: np.ndarray, names: Sequence[str] | None, *, header: bool = True, delimiter: str = ",", scale: float = 1
) -> bytes:
    flat = images.reshape(len(images), -1)
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow([*(["label"] if names else []), *(f"pixel{index}" for index in range(flat.shape[1]))])
    for row, pixels in enumerate(flat.tolist()):
        writer.writerow(
            [*([names[row]] if names else []), *(pixels if scale == 1 else [value * scale for value in pixels])]
        )
    return file.getvalue().encode()


def make_base64_csv(encoded_images: Sequence[bytes], names: Sequence[str], *, prefix: str = "") -> bytes:
    lines = [
        f"{name},{prefix}{base64.b64encode(data).decode()}" for name, data in zip(names, encoded_images, strict=True)
    ]
    return "\n".join(["label,image", *lines, ""]).encode()


def make_parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def make_zip(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def make_tar(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], *, mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def class_folders(images: np.ndarray, names: Sequence[str], *, above: str = "") -> list[tuple[str, bytes]]:
    return [
        (f"{above}{name}/{index:04}.png", encode_image(image))
        for index, (image, name) in enumerate(zip(images, names, strict=True))
    ]


def gzip_bytes(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def upload(folder: Path, files: Mapping[str, bytes], **options: Any) -> ImportReport:
    """Write the files and import them into `folder / "dataset"`."""
    incoming = folder / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (incoming / name).write_bytes(data)
    options.setdefault("limits", Limits())
    options.setdefault("tasks", TASKS)
    return import_dataset([incoming / name for name in files], folder / "dataset", **options)


def codes(report: ImportReport) -> set[str]:
    """Return the codes of all issues but those that made-up texts have."""
    return all_codes(report) - MADE_UP


def all_codes(report: ImportReport) -> set[str]:
    return {entry.code for entry in report.errors}


def sample(report: ImportReport, code: str) -> dict[str, Any]:
    """Return the first sample of an issue."""
    return next(entry for entry in report.errors if entry.code == code).sample[0]


def count(report: ImportReport, code: str) -> int:
    return next(entry for entry in report.errors if entry.code == code).count
