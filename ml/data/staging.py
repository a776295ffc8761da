"""Between reading and writing: every good row's picture in one scratch file, what must be known of all rows in memory.

About 40 bytes a row stay in memory, whatever the pictures weigh: splits, duplicates and classes are decided on these.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from ml.data import images
from ml.data.dataset import SPLITS
from ml.data.findings import Place, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml.data.findings import Findings
    from ml.data.formats.base import Batch, Places
    from ml.data.limits import Limits

HASH_BYTES: Final = 16
LONGEST_LABEL: Final = 200
NO_SPLIT: Final = -1
NO_LABEL: Final = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of one batch: where their pictures lie in the scratch file."""

    start: int
    places: Places
    kept: np.ndarray
    """Of the batch's rows, those that are staged."""
    offset: int
    shape: tuple[int, int, int] | None
    """Of plain pixels; None where the pictures are encoded."""
    lengths: np.ndarray
    """Bytes of each picture."""

    def __len__(self) -> int:
        return len(self.kept)


@dataclass(slots=True)
class Shapes:
    """Sizes seen so far."""

    channels: int = 0
    both_channels: bool = False
    min_height: int = 1 << 31
    max_height: int = 0
    min_width: int = 1 << 31
    max_width: int = 0

    def see(self, shape: tuple[int, int, int]) -> None:
        """Widen by one."""
        height, width, channels = shape
        self.both_channels |= self.channels not in (0, channels)
        self.channels = max(self.channels, channels)
        self.min_height, self.max_height = min(self.min_height, height), max(self.max_height, height)
        self.min_width, self.max_width = min(self.min_width, width), max(self.max_width, width)

    def as_dict(self) -> dict[str, int]:
        """As a summary shows it."""
        names = ("channels", "min_height", "max_height", "min_width", "max_width")
        return {name: getattr(self, name) for name in names}

    @property
    def one(self) -> tuple[int, int, int] | None:
        """The shape that all have; None where they differ."""
        if self.both_channels or self.min_height != self.max_height or self.min_width != self.max_width:
            return None
        return self.max_height, self.max_width, self.channels


class Staging:
    """Takes batches one by one; afterwards `hashes`, `codes` and `splits` hold one entry a row."""

    def __init__(self, file: IO[bytes], *, findings: Findings, limits: Limits) -> None:
        self._file = file
        self._findings = findings
        self._limits = limits
        self.segments: list[Segment] = []
        self.shapes = Shapes()
        self.label_codes: dict[str, int] = {}
        """Names in the order they were met."""
        self._hashes: list[np.ndarray] = []
        self._codes: list[np.ndarray] = []
        self._splits: list[np.ndarray] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, batch: Batch) -> None:
        """Check and keep the rows of a batch; raises `Refused` where the whole upload is beyond a limit."""
        pictures = batch.columns["image"]
        if isinstance(pictures, np.ndarray):
            hashes, kept = _hashes_of_pixels(pictures), np.arange(len(pictures))
            shape = pictures.shape[1:]
            self.shapes.see(shape)
            lengths = np.full(len(pictures), pictures[:1].nbytes, dtype=np.int64)
        else:
            hashes, kept = self._look_at(pictures, batch.places)
            shape = None
            lengths = np.array([len(pictures[index]) for index in kept], dtype=np.int64)
        codes = self._label(batch, kept)
        good = codes >= NO_LABEL
        if len(self) + len(kept) > self._limits.max_rows:
            raise Refused("too_many_rows", expected=f"at most {self._limits.max_rows:,} rows")
        segment = Segment(self._rows, batch.places, kept[good], self._file.tell(), shape, lengths[good])
        if shape is None:
            self._file.writelines(pictures[index] for index in segment.kept)
        else:
            self._file.write(np.ascontiguousarray(pictures[segment.kept] if not good.all() else pictures).data)
        split = SPLITS.index(batch.split) if batch.split else NO_SPLIT
        self._hashes.append(hashes[good])
        self._codes.append(codes[good])
        self._splits.append(np.full(len(segment), split, dtype=np.int8))
        self.segments.append(segment)
        self._rows += len(segment)

    @property
    def hashes(self) -> np.ndarray:
        """uint8 [N, 16] of shape and pixels: equal pictures have equal hashes, however they were packed."""
        return np.concatenate([np.empty((0, HASH_BYTES), dtype=np.uint8), *self._hashes])

    @property
    def codes(self) -> np.ndarray:
        """int32 [N] into `label_codes`, `NO_LABEL` where a row has none."""
        return np.concatenate([np.empty(0, dtype=np.int32), *self._codes])

    @property
    def splits(self) -> np.ndarray:
        """int8 [N] into `SPLITS`, `NO_SPLIT` where the data says nothing."""
        return np.concatenate([np.empty(0, dtype=np.int8), *self._splits])

    def place(self, row: int) -> Place:
        """Where a staged row came from."""
        starts = [segment.start for segment in self.segments]
        segment = self.segments[int(np.searchsorted(starts, row, side="right")) - 1]
        return segment.places.at(int(segment.kept[row - segment.start]))

    def load(self) -> Iterator[tuple[Segment, np.ndarray | list[bytes]]]:
        """Segment by segment, the pictures as they were added."""
        self._file.flush()
        for segment in self.segments:
            self._file.seek(segment.offset)
            data = self._file.read(int(segment.lengths.sum()))
            if segment.shape is not None:
                yield segment, np.frombuffer(data, dtype=np.uint8).reshape(-1, *segment.shape)
            else:
                ends = np.cumsum(segment.lengths)
                yield segment, [data[end - size : end] for end, size in zip(ends, segment.lengths, strict=True)]

    def _look_at(self, pictures: Sequence[bytes], places: Places) -> tuple[np.ndarray, np.ndarray]:
        """Decode each once, so that what cannot be read is known now."""
        kept, hashes = [], bytearray()
        for index, encoded in enumerate(pictures):
            try:
                picture = images.read(encoded, max_pixels=self._limits.max_pixels)
            except images.UnreadableImage as error:
                self._findings.add(error.problem, at=places.at(index), found=error.message, rows=1)
                continue
            for number, repair in enumerate(picture.repairs):
                self._findings.add(repair, at=places.at(index), rows=int(number == 0))
            height, width, channels = picture.pixels.shape
            self.shapes.see((height, width, channels))
            hashes += _hash(picture.pixels)
            kept.append(index)
        return np.frombuffer(bytes(hashes), dtype=np.uint8).reshape(-1, HASH_BYTES), np.array(kept, dtype=np.int64)

    def _label(self, batch: Batch, kept: np.ndarray) -> np.ndarray:
        """int32 codes of the kept rows; below `NO_LABEL` where the label cannot be one."""
        labels = batch.columns.get("label")
        if labels is None:
            return np.full(len(kept), NO_LABEL, dtype=np.int32)
        codes = np.array([self._code(labels[index].strip()) for index in kept], dtype=np.int32)
        for index in kept[codes < NO_LABEL]:
            self._findings.add("label_too_long", at=batch.places.at(index), found=labels[index], rows=1)
        return codes

    def _code(self, label: str) -> int:
        if not label:
            return NO_LABEL
        if len(label) > LONGEST_LABEL:
            return NO_LABEL - 1
        if label not in self.label_codes and len(self.label_codes) >= self._limits.max_classes:
            raise Refused("too_many_classes", found=f"more than {self._limits.max_classes:,} different labels")
        return self.label_codes.setdefault(label, len(self.label_codes))


def _hash(pixels: np.ndarray) -> bytes:
    shape = struct.pack("<IIII", *pixels.shape, 0)
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=HASH_BYTES, person=shape).digest()


def _hashes_of_pixels(pictures: np.ndarray) -> np.ndarray:
    joined = b"".join(_hash(picture) for picture in pictures)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, HASH_BYTES)
