"""IDX, the format of MNIST: a header of big-endian sizes, then plain values. http://yann.lecun.com/exdb/mnist/."""

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

_UNSIGNED_BYTE: Final = 0x08
_INTEGER_TYPES: Final = (0x08, 0x09, 0x0B, 0x0C)
#: Type code -> numpy type and name.
_TYPES: Final = {
    0x08: (">u1", "unsigned byte"),
    0x09: (">i1", "signed byte"),
    0x0B: (">i2", "short"),
    0x0C: (">i4", "int"),
    0x0D: (">f4", "float"),
    0x0E: (">f8", "double"),
}
#: Words of a file name that do not distinguish one pair of files from another.
_ROLE_WORDS: Final = re.compile(r"images?|labels?|idx\d?|ubyte|gz|\.idx|data", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """Type code and sizes of the dimensions, as a file declares them."""

    type: int
    sizes: tuple[int, ...]

    @property
    def is_labels(self) -> bool:
        """True for one value per row."""
        return len(self.sizes) == 1

    def __str__(self) -> str:
        return f"{_TYPES[self.type][1]} {list(self.sizes)}"


class Idx(Format):
    """Files are read in pairs of images and labels; images without a pair are unlabeled."""

    name = "idx"
    summary = "IDX files, plain or gzip, as MNIST is published: images and labels, paired by their names"
    columns: ClassVar[Mapping[str, str]] = {"image": "image", "label": "label"}
    accepted_content: ClassVar[frozenset[FileContent]] = frozenset({"idx"})

    def read(self) -> Iterator[Batch]:
        """Yield the rows of one pair after another."""
        headers = {source: header for source in self.sources if (header := self._check_header(source))}
        for images, labels in self._pair(headers):
            try:
                yield from self._read_pair(images, headers[images], labels)
            except DataRejected as rejection:
                self.issues.record(rejection, at=Location(file=images.name))

    def _check_header(self, source: UploadedFile) -> Header | None:
        try:
            with source.open(self.limits) as file:
                header = _read_header(file)
            _check(header, self.limits)
        except DataRejected as rejection:
            self.issues.record(rejection, at=Location(file=source.name))
            return None
        return header

    def _pair(self, headers: Mapping[UploadedFile, Header]) -> list[tuple[UploadedFile, UploadedFile | None]]:
        """Pair images with labels by name, else by the number of rows.

        Labels without images become an issue.
        """
        images = [source for source, header in headers.items() if not header.is_labels]
        labels = [source for source, header in headers.items() if header.is_labels]
        pairs: dict[UploadedFile, UploadedFile] = {}
        for matches in (
            _have_same_stem,
            lambda image, label: headers[image].sizes[0] == headers[label].sizes[0],
            lambda *_: len(images) == 1,
        ):
            for image in (image for image in images if image not in pairs):
                candidates = [label for label in labels if label not in pairs.values() and matches(image, label)]
                if len(candidates) == 1:
                    pairs[image] = candidates[0]
        for label in labels:
            if label not in pairs.values():
                self.issues.add("idx_unpaired", at=Location(file=label.name), actual=headers[label])
        return [(image, pairs.get(image)) for image in images]

    def _read_pair(self, source: UploadedFile, header: Header, label_source: UploadedFile | None) -> Iterator[Batch]:
        labels = self._read_labels(label_source) if label_source else None
        count, *shape = header.sizes
        if labels is not None and label_source and len(labels) != count:
            at = Location(file=label_source.name)
            self.issues.add("unequal_counts", at=at, actual=f"{len(labels):,} labels", expected=f"{count:,}, as images")
            count = min(count, len(labels))
        batch_size = max(1, min(ROWS_PER_BATCH, BYTES_PER_BATCH // math.prod(shape)))
        with source.open(self.limits) as file:
            _read_header(file)
            for start in range(0, count, batch_size):
                rows = range(start + 1, min(start + batch_size, count) + 1)
                pixels = np.frombuffer(_read_values(file, len(rows), math.prod(shape), start), dtype=np.uint8)
                columns = {"image": _channels_last(pixels.reshape(len(rows), *shape))}
                label_column = {} if labels is None else {"label": labels[start : start + len(rows)]}
                yield Batch({**columns, **label_column}, Locations(source.name, rows), source.split)
            if count == header.sizes[0]:
                self._check_end(file, source)

    def _read_labels(self, source: UploadedFile) -> list[str]:
        with source.open(self.limits) as file:
            header = _read_header(file)
            dtype = np.dtype(_TYPES[header.type][0])
            try:
                data = _read_values(file, header.sizes[0], dtype.itemsize, 0)
            except DataRejected as rejection:
                rejection.at = Location(file=source.name)
                raise
            self._check_end(file, source)
        values, indices = np.unique(np.frombuffer(data, dtype=dtype), return_inverse=True)
        names = [str(value) for value in values]
        return [names[index] for index in indices]

    def _check_end(self, file: IO[bytes], source: UploadedFile) -> None:
        if file.read(1):
            self.issues.add("idx_trailing_bytes", at=Location(file=source.name))


def _have_same_stem(images: UploadedFile, labels: UploadedFile) -> bool:
    return _stem_words(images) == _stem_words(labels)


def _stem_words(source: UploadedFile) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", _ROLE_WORDS.sub("", source.name.lower())) if word.strip("-_.")]


def _read_header(file: IO[bytes]) -> Header:
    start = file.read(4)
    sizes = file.read(4 * start[3]) if len(start) == 4 else b""
    if len(start) < 4 or start[:2] != b"\0\0" or not sizes or len(sizes) != 4 * start[3]:
        raise DataRejected("idx_header", actual=(start + sizes).hex(" "))
    return Header(start[2], struct.unpack(f">{start[3]}I", sizes))


def _check(header: Header, limits: Limits) -> None:
    """Raise `DataRejected` for an invalid type or size, or above a limit."""
    type_name = _TYPES.get(header.type, ("", "unknown type"))[1]
    actual_type = f"{header.type:02X} ({type_name})"
    if header.is_labels:
        if header.type not in _INTEGER_TYPES:
            raise DataRejected("idx_type", actual=actual_type, expected="whole numbers (08, 09, 0B or 0C)")
    elif header.type != _UNSIGNED_BYTE:
        raise DataRejected("idx_type", actual=actual_type, expected="08 (unsigned byte)")
    sizes = header.sizes
    if len(sizes) not in (1, 3, 4) or (len(sizes) == 4 and not {sizes[1], sizes[3]} & {1, 3}):
        raise DataRejected("idx_dimensions", actual=list(sizes))
    if 0 in sizes[1:]:
        raise DataRejected("idx_dimensions", actual=list(sizes), expected="no size of 0")
    if sizes[0] > limits.max_rows:
        raise DataRejected("too_many_rows", actual=f"{sizes[0]:,} rows", expected=f"at most {limits.max_rows:,}")
    if math.prod(sizes[1:]) > limits.max_pixels:
        raise DataRejected("image_too_large", actual=list(sizes[1:]), expected=f"at most {limits.max_pixels:,} pixels")


def _read_values(file: IO[bytes], rows: int, row_bytes: int, rows_before: int) -> bytes:
    data = file.read(rows * row_bytes)
    if len(data) < rows * row_bytes:
        complete_rows = rows_before + len(data) // row_bytes
        raise DataRejected("idx_truncated", actual=f"ends after {complete_rows:,} rows")
    return data


def _channels_last(values: np.ndarray) -> np.ndarray:
    """Convert images [N, H, W] or [N, C, H, W] to [N, H, W, C].

    Images [N, H, W, C] remain as they are.
    """
    if values.ndim == 3:
        return values[:, :, :, None]
    return values if values.shape[3] in (1, 3) else np.ascontiguousarray(values.transpose(0, 2, 3, 1))
