"""Pictures: as encoded files of any usual make, or as plain pixels."""

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
class Shapes:
    """Sizes seen so far."""

    channels: int = 0
    both_channels: bool = False
    min_height: int = 1 << 31
    max_height: int = 0
    min_width: int = 1 << 31
    max_width: int = 0

    def see(self, shape: tuple[int, ...]) -> None:
        """Widen by one, [H, W, C]."""
        height, width, channels = shape
        self.both_channels |= self.channels not in (0, channels)
        self.channels = max(self.channels, channels)
        self.min_height, self.max_height = min(self.min_height, height), max(self.max_height, height)
        self.min_width, self.max_width = min(self.min_width, width), max(self.max_width, width)

    def to_json(self) -> dict[str, int]:
        """As a summary shows it."""
        names = ("channels", "min_height", "max_height", "min_width", "max_width")
        return {name: getattr(self, name) for name in names}

    @property
    def one(self) -> tuple[int, int, int] | None:
        """The shape that all have; None where they differ."""
        if self.both_channels or self.min_height != self.max_height or self.min_width != self.max_width:
            return None
        return self.max_height, self.max_width, self.channels


class ImageType(ColumnType[np.ndarray]):
    """A row holds uint8 [H, W, C] with C of 1 or 3. A batch brings files as bytes, or pixels uint8 [N, H, W, C]."""

    name = "image"
    noun = "picture"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self.shapes = Shapes()

    def pack(self, value: bytes, at: Location) -> bytes:
        """The file as it came."""
        self._pixels(value, at)
        return value

    def check(self, values: Sequence[Any] | np.ndarray, rows: np.ndarray, places: Locations) -> CheckedValues:
        """Decode each file once, so that what cannot be read is known now; pixels are what they are."""
        if isinstance(values, np.ndarray):
            chosen = values if len(rows) == len(values) else values[rows]
            if len(chosen):
                self.shapes.see(values.shape[1:])
            return CheckedValues(rows, chosen, to_hash_array(b"".join(_hash(picture) for picture in chosen)))
        kept, hashes = [], bytearray()
        for row in rows.tolist():
            try:
                pixels = self._pixels(values[row], places.at(row))
            except DataRejected as refused:
                self.issues.record(refused, at=places.at(row), rows=1)
                continue
            kept.append(row)
            hashes += _hash(pixels)
        return CheckedValues(np.array(kept, dtype=np.int64), [values[row] for row in kept], to_hash_array(hashes))

    def _pixels(self, encoded: bytes, at: Location) -> np.ndarray:
        try:
            picture = images.read(encoded, max_pixels=self.limits.max_pixels)
        except images.UnreadableImage as error:
            raise DataRejected(error.issue, actual=error.message) from error
        for number, repair in enumerate(picture.repairs):
            self.issues.add(repair, at=at, rows=int(number == 0))
        self.shapes.see(picture.pixels.shape)
        return picture.pixels

    @classmethod
    def from_cell(cls, cell: Any) -> bytes:
        """Bytes as they are, `{"bytes": ...}` as Hugging Face stores it, or base64 with or without `data:` before."""
        data = base64_data.from_cell(cell)
        if data is None:
            raise DataRejected("image_not_encoded", actual=cell or "nothing", expected="base64 of a picture")
        return data

    @classmethod
    def unpack(cls, data: bytes) -> np.ndarray:
        """Decoded at each look."""
        return images.decode(data)

    @classmethod
    def as_json(cls, value: np.ndarray) -> str:
        """A PNG as base64."""
        return base64.b64encode(images.encode_png(value)).decode("ascii")

    def finish(self) -> None:
        """Sizes and channels that differ."""
        shapes = self.shapes
        if shapes.min_height != shapes.max_height or shapes.min_width != shapes.max_width:
            smallest, largest = f"{shapes.min_width} x {shapes.min_height}", f"{shapes.max_width} x {shapes.max_height}"
            self.issues.add("image_sizes_differ", actual=f"width x height from {smallest} to {largest}")
        if shapes.both_channels:
            self.issues.add("image_channels_differ", actual="1 and 3 channels")

    def facts(self) -> dict[str, int]:
        """Sizes and channels; 3 channels as soon as one picture has colour."""
        return self.shapes.to_json()

    def plain_shape(self, rows: int) -> tuple[int, ...] | None:
        """The one size there is, as long as all pictures together are not too large."""
        shape = self.shapes.one
        fits = shape is not None and rows * int(np.prod(shape, dtype=np.int64)) <= self.limits.max_raw_bytes
        return shape if fits else None

    def as_bytes(self, data: list[bytes] | np.ndarray, chosen: np.ndarray) -> list[bytes]:
        """Files as they came; plain pixels as PNG."""
        if isinstance(data, np.ndarray):
            return [images.encode_png(data[index]) for index in chosen]
        return super().as_bytes(data, chosen)

    def as_arrays(self, data: list[bytes] | np.ndarray, chosen: np.ndarray) -> Sequence[np.ndarray]:
        """One array, or one picture after the other."""
        if isinstance(data, np.ndarray):
            return [data if len(chosen) == len(data) else data[chosen]]
        return [images.decode(data[index]) for index in chosen]


def _hash(pixels: np.ndarray) -> bytes:
    shape = struct.pack("<IIII", *pixels.shape, 0)
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=HASH_BYTES, person=shape).digest()
