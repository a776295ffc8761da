"""IDX, as MNIST is published: a header of big-endian sizes, then plain values. http://yann.lecun.com/exdb/mnist/"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, ClassVar, Final

import numpy as np

from ml.data.formats.base import BYTES_PER_BATCH, ROWS_PER_BATCH, Batch, Format
from ml.data.issues import DataRejected, Location
from ml.data.locations import Locations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.files.upload import FileContent, UploadedFile
    from ml.data.limits import Limits

_TYPES: Final = {
    0x08: (">u1", "unsigned byte"),
    0x09: (">i1", "signed byte"),
    0x0B: (">i2", "short"),
    0x0C: (">i4", "int"),
    0x0D: (">f4", "float"),
    0x0E: (">f8", "double"),
}
_ROLE_WORDS: Final = re.compile(r"images?|labels?|idx\d?|ubyte|gz|\.idx|data", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """Type and sizes that a file says it has."""

    type: int
    sizes: tuple[int, ...]

    @property
    def is_labels(self) -> bool:
        """One value a row."""
        return len(self.sizes) == 1

    def __str__(self) -> str:
        return f"{_TYPES[self.type][1]} {list(self.sizes)}"


class Idx(Format):
    """Files are taken in pairs of images and labels; images alone are unlabelled."""

    name = "idx"
    summary = "IDX files, plain or gzip, as MNIST is published: images and labels in pairs found by their names"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"idx"})

    def read(self) -> Iterator[Batch]:
        """Pair by pair."""
        headers = {source: header for source in self.sources if (header := self._header(source))}
        for images, labels in self._pairs(headers):
            try:
                yield from self._read_pair(images, headers[images], labels)
            except DataRejected as refused:
                self.issues.record(refused, at=Location(file=images.name))

    def _header(self, source: UploadedFile) -> Header | None:
        try:
            with source.open(self.limits) as file:
                header = _read_header(file)
            _check(header, self.limits)
        except DataRejected as refused:
            self.issues.record(refused, at=Location(file=source.name))
            return None
        return header

    def _pairs(self, headers: Mapping[UploadedFile, Header]) -> list[tuple[UploadedFile, UploadedFile | None]]:
        """By name without the words that tell images from labels, else by count; what is left over is a finding."""
        images = [source for source, header in headers.items() if not header.is_labels]
        labels = [source for source, header in headers.items() if header.is_labels]
        partner: dict[UploadedFile, UploadedFile] = {}
        for alike in (_same_name, lambda a, b: headers[a].sizes[0] == headers[b].sizes[0], lambda *_: len(images) == 1):
            for image in (image for image in images if image not in partner):
                free = [label for label in labels if label not in partner.values() and alike(image, label)]
                if len(free) == 1:
                    partner[image] = free[0]
        for label in labels:
            if label not in partner.values():
                self.issues.add("idx_unpaired", at=Location(file=label.name), actual=headers[label])
        return [(image, partner.get(image)) for image in images]

    def _read_pair(self, source: UploadedFile, header: Header, label_source: UploadedFile | None) -> Iterator[Batch]:
        labels = self._labels(label_source) if label_source else None
        count, *shape = header.sizes
        if labels is not None and label_source and len(labels) != count:
            at = Location(file=label_source.name)
            self.issues.add("unequal_counts", at=at, actual=f"{len(labels):,} labels", expected=f"{count:,}, as images")
            count = min(count, len(labels))
        step = max(1, min(ROWS_PER_BATCH, BYTES_PER_BATCH // math.prod(shape)))
        with source.open(self.limits) as file:
            _read_header(file)
            for start in range(0, count, step):
                rows = range(start + 1, min(start + step, count) + 1)
                pixels = np.frombuffer(_values(file, len(rows), math.prod(shape), start), dtype=np.uint8)
                pictures = {"image": _channels_last(pixels.reshape(len(rows), *shape))}
                named = {} if labels is None else {"label": labels[start : start + len(rows)]}
                yield Batch({**pictures, **named}, Locations(source.name, rows), source.split)
            if count == header.sizes[0]:
                self._check_end(file, source)

    def _labels(self, source: UploadedFile) -> list[str]:
        with source.open(self.limits) as file:
            header = _read_header(file)
            dtype = np.dtype(_TYPES[header.type][0])
            try:
                data = _values(file, header.sizes[0], dtype.itemsize, 0)
            except DataRejected as refused:
                refused.at = Location(file=source.name)
                raise
            self._check_end(file, source)
        values, which = np.unique(np.frombuffer(data, dtype=dtype), return_inverse=True)
        names = [str(value) for value in values]
        return [names[index] for index in which]

    def _check_end(self, file: IO[bytes], source: UploadedFile) -> None:
        if file.read(1):
            self.issues.add("idx_trailing_bytes", at=Location(file=source.name))


def _same_name(images: UploadedFile, labels: UploadedFile) -> bool:
    return _stem(images) == _stem(labels)


def _stem(source: UploadedFile) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", _ROLE_WORDS.sub("", source.name.lower())) if word.strip("-_.")]


def _read_header(file: IO[bytes]) -> Header:
    start = file.read(4)
    sizes = file.read(4 * start[3]) if len(start) == 4 else b""
    if len(start) < 4 or start[:2] != b"\0\0" or not sizes or len(sizes) != 4 * start[3]:
        raise DataRejected("idx_header", actual=(start + sizes).hex(" "))
    return Header(start[2], struct.unpack(f">{start[3]}I", sizes))


def _check(header: Header, limits: Limits) -> None:
    kind = _TYPES.get(header.type, ("", "unknown type"))[1]
    if header.is_labels:
        if header.type not in (0x08, 0x09, 0x0B, 0x0C):
            raise DataRejected(
                "idx_type", actual=f"{header.type:02X} ({kind})", expected="whole numbers (08, 09, 0B or 0C)"
            )
    elif header.type != 0x08:
        raise DataRejected("idx_type", actual=f"{header.type:02X} ({kind})", expected="08 (unsigned byte)")
    sizes = header.sizes
    if len(sizes) not in (1, 3, 4) or (len(sizes) == 4 and not {sizes[1], sizes[3]} & {1, 3}):
        raise DataRejected("idx_dimensions", actual=list(sizes))
    if 0 in sizes[1:]:
        raise DataRejected("idx_dimensions", actual=list(sizes), expected="no size of 0")
    if sizes[0] > limits.max_rows:
        raise DataRejected("too_many_rows", actual=f"{sizes[0]:,} rows", expected=f"at most {limits.max_rows:,}")
    if math.prod(sizes[1:]) > limits.max_pixels:
        raise DataRejected("image_too_large", actual=list(sizes[1:]), expected=f"at most {limits.max_pixels:,} pixels")


def _values(file: IO[bytes], rows: int, row_bytes: int, before: int) -> bytes:
    data = file.read(rows * row_bytes)
    if len(data) < rows * row_bytes:
        whole = before + len(data) // row_bytes
        raise DataRejected("idx_truncated", actual=f"ends after {whole:,} rows")
    return data


def _channels_last(values: np.ndarray) -> np.ndarray:
    if values.ndim == 3:
        return values[:, :, :, None]
    return values if values.shape[3] in (1, 3) else np.ascontiguousarray(values.transpose(0, 2, 3, 1))
