"""Images, stored as encoded files or as raw pixels."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.data.column_types.base import HASH_BYTES, CheckedValues, ColumnType, to_hash_array
from ml.data.files import base64_data, images
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits
    from ml.data.locations import Locations


@dataclass(slots=True)
class SizeRange:
    """Smallest and largest size of the images so far."""

    channels: int = 0
    has_both_channels: bool = False
    min_height: int = 1 << 31
    max_height: int = 0
    min_width: int = 1 << 31
    max_width: int = 0

    def include(self, shape: tuple[int, ...]) -> None:
        """Widen the range to an image of shape [H, W, C]."""
        height, width, channels = shape
        self.has_both_channels |= self.channels not in (0, channels)
        self.channels = max(self.channels, channels)
        self.min_height, self.max_height = min(self.min_height, height), max(self.max_height, height)
        self.min_width, self.max_width = min(self.min_width, width), max(self.max_width, width)

    def to_json(self) -> dict[str, int]:
        """Return the facts for the summary of the dataset."""
        names = ("channels", "min_height", "max_height", "min_width", "max_width")
        return {name: getattr(self, name) for name in names}

    @property
    def has_several_sizes(self) -> bool:
        """True if heights or widths differ."""
        return self.min_height != self.max_height or self.min_width != self.max_width

    @property
    def common_shape(self) -> tuple[int, int, int] | None:
        """Shape [H, W, C] of all images; None if they differ."""
        if self.has_both_channels or self.has_several_sizes:
            return None
        return self.max_height, self.max_width, self.channels


class ImageType(ColumnType[np.ndarray]):
    """Rows contain uint8 [H, W, C], C of 1 or 3.

    Batches contain files as bytes, or pixels as uint8 [N, H, W, C].
    """

    name = "image"
    noun = "image"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self.sizes = SizeRange()
        #: Bits of the gray values that were reduced to 8.
        self._depths: set[int] = set()

    def pack(self, value: bytes, at: Location) -> bytes:
        """Return the file unchanged, once it was decoded without an error."""
        return self._read(value, at)[0]

    def check(self, values: Sequence[Any] | np.ndarray, rows: np.ndarray, locations: Locations) -> CheckedValues:
        """Decode every file once, to report all damaged ones; pixels need no check."""
        if isinstance(values, np.ndarray):
            pixels_nHWC = values if len(rows) == len(values) else values[rows]
            if len(pixels_nHWC):
                self.sizes.include(values.shape[1:])
            return CheckedValues(rows, pixels_nHWC, to_hash_array(b"".join(_hash(pixels) for pixels in pixels_nHWC)))
        accepted_rows, files, hashes = [], list[bytes](), bytearray()
        for row in rows.tolist():
            try:
                file, pixels = self._read(values[row], locations.at(row))
            except DataRejected as rejection:
                self.issues.record(rejection, at=locations.at(row), rows=1)
                continue
            accepted_rows.append(row)
            files.append(file)
            hashes += _hash(pixels)
        return CheckedValues(np.array(accepted_rows, dtype=np.int64), files, to_hash_array(hashes))

    def _read(self, encoded: bytes, at: Location) -> tuple[bytes, np.ndarray]:
        """Return the file to store, which is smaller for a large photo, and its pixels."""
        try:
            reduced = self._reduce(encoded, at)
            file, image = reduced or (encoded, images.read(encoded, max_pixels=self.limits.max_pixels))
        except images.UnreadableImage as error:
            raise DataRejected(error.issue, actual=error.message) from error
        for number, repair in enumerate(image.repairs):
            actual = f"{image.bits} bits" if repair == "image_16_bit" else None
            self.issues.add(repair, at=at, actual=actual, rows=int(number == 0))
        if image.bits is not None:
            self._depths.add(image.bits)
        self.sizes.include(image.pixels.shape)
        return file, image.pixels

    def _reduce(self, encoded: bytes, at: Location) -> tuple[bytes, images.DecodedImage] | None:
        side = self.limits.max_kept_side
        reduced = images.reduce(encoded, max_side=side, max_pixels=self.limits.max_pixels) if side else None
        if reduced is not None:
            height, width, _ = reduced[1].pixels.shape
            self.issues.add("image_reduced", at=at, actual=f"kept at {width} x {height}")
        return reduced

    @classmethod
    def from_cell(cls, cell: Any) -> bytes:
        """Return the file in a table cell.

        A cell holds bytes, `{"bytes": ...}` as Hugging Face stores it, base64, or a list of pixels.
        """
        if isinstance(cell, str) and (pixels := images.parse_pixels(cell)) is not None:
            return images.encode_png(pixels)
        data = base64_data.from_cell(cell)
        if data is None:
            raise DataRejected("image_not_encoded", actual=cell or "nothing", expected="base64 of an image file")
        return data

    @classmethod
    def unpack(cls, data: bytes) -> np.ndarray:
        """Decode the file, at every access."""
        return images.decode(data)

    @classmethod
    def to_raw(cls, data: bytes) -> bytes:
        """Return the file."""
        return data

    @classmethod
    def to_json(cls, value: np.ndarray) -> str:
        """Return a PNG as base64."""
        return base64.b64encode(images.encode_png(value)).decode("ascii")

    def finish(self) -> None:
        """Report sizes, channels and bits that differ."""
        if len(self._depths) > 1:
            self.issues.add("image_depths_differ", actual=f"{', '.join(map(str, sorted(self._depths)))} bits")
        sizes = self.sizes
        if sizes.has_several_sizes:
            smallest, largest = f"{sizes.min_width} x {sizes.min_height}", f"{sizes.max_width} x {sizes.max_height}"
            self.issues.add("image_sizes_differ", actual=f"width x height from {smallest} to {largest}")
        if sizes.has_both_channels:
            self.issues.add("image_channels_differ", actual="1 and 3 channels")

    def facts(self) -> dict[str, int]:
        """Return sizes and channels; 3 channels as soon as one image has color."""
        return self.sizes.to_json()

    def array_shape(self, rows: int) -> tuple[int, ...] | None:
        """Return the common shape, if all images fit into the limits on raw bytes."""
        shape = self.sizes.common_shape
        if shape is None:
            return None
        size = int(np.prod(shape, dtype=np.int64))
        fits = size <= self.limits.max_raw_image_bytes and rows * size <= self.limits.max_raw_bytes
        return shape if fits else None

    def to_bytes(self, data: list[bytes] | np.ndarray, selection: np.ndarray) -> list[bytes]:
        """Return files unchanged, and pixels as PNG."""
        if isinstance(data, np.ndarray):
            return [images.encode_png(data[index]) for index in selection]
        return super().to_bytes(data, selection)

    def to_arrays(self, data: list[bytes] | np.ndarray, selection: np.ndarray) -> Sequence[np.ndarray]:
        """Return pixels as one array, and files as one array per image."""
        if isinstance(data, np.ndarray):
            return [data if len(selection) == len(data) else data[selection]]
        return [images.decode(data[index]) for index in selection]


def _hash(pixels: np.ndarray) -> bytes:
    shape = struct.pack("<IIII", *pixels.shape, 0)
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=HASH_BYTES, person=shape).digest()
