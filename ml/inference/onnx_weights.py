"""An ONNX file whose large tensors are read where they lie, not copied into memory.

A loaded graph of 90 MB takes ONNX Runtime 150 ms and all of its bytes twice, unless its tensors are mapped from a file,
which may be the graph's own: `lay_out` moves each to a place where a processor reads numbers well, and `by_reference`
tells ONNX Runtime where they are. To anyone else it is an ordinary ONNX file, complete in itself.

Both walk over the file's fields as protocol buffers lay them out, and understand no more of them than where tensors
are: <https://protobuf.dev/programming-guides/encoding/>, `onnx.proto` of ONNX.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE_BYTES: Final = 64 * 1024
"""A smaller tensor costs less to copy than to map."""
ALIGNMENT: Final = 64
"""Bytes: a line of the processor's cache, and its widest registers."""

_GRAPH: Final = 7  # of ModelProto
_INITIALIZER: Final = 5  # of GraphProto
_RAW_DATA, _DOC_STRING, _EXTERNAL_DATA, _DATA_LOCATION = 9, 12, 13, 14  # of TensorProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_EXTERNAL: Final = b"\x01"
_WIDE: Final = 5
"""Bytes of a length that is written before it is known."""


class _Field(NamedTuple):
    """Where a field of a message is: its key, its value, and its end."""

    number: int
    start: int
    value: int
    end: int


def by_reference(path: Path) -> bytes | None:
    """The model without its large tensors, which it says are in its own file; None where none of them can be mapped.

    Whoever loads it has to say in which folder the file is. What is no ONNX file gives None as well.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _referring(data, path.name.encode())
    except (ValueError, IndexError):
        return None


def lay_out(path: Path) -> None:
    """Write the file anew, so that its large tensors can be mapped; another has no more than some bytes of filling."""
    staged = path.with_name(f"{path.name}.new")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        staged.open("wb") as new,
    ):
        for field in _fields(data, 0, len(data)):
            if field.number != _GRAPH:
                new.write(data[field.start : field.end])
                continue
            new.write(_key(_GRAPH) + _wide(0))
            began = new.tell()
            for each in _fields(data, field.value, field.end):
                raw = _large_of(data, each)
                if raw is None:
                    new.write(data[each.start : each.end])
                else:
                    new.write(_head(data, each, raw, at=new.tell()))
                    new.write(data[raw.value : raw.end])
            ended = new.tell()
            new.seek(began - _WIDE)
            new.write(_wide(ended - began))
            new.seek(ended)
    staged.replace(path)


def _referring(data: mmap.mmap, name: bytes) -> bytes | None:
    parts: list[bytes] = []
    found = False
    for field in _fields(data, 0, len(data)):
        if field.number != _GRAPH:
            parts.append(data[field.start : field.end])
            continue
        graph: list[bytes] = []
        for each in _fields(data, field.value, field.end):
            raw = _large_of(data, each)
            if raw is None or raw.value % ALIGNMENT:
                graph.append(data[each.start : each.end])
            else:
                found = True
                place = {b"location": name, b"offset": b"%d" % raw.value, b"length": b"%d" % (raw.end - raw.value)}
                entries = [_told(_EXTERNAL_DATA, _told(_KEY, key) + _told(_VALUE, place[key])) for key in place]
                outside = _varint(_DATA_LOCATION << 3 | _VARINT) + _EXTERNAL
                graph.append(_told(_INITIALIZER, b"".join([_but_its_data(data, each), *entries, outside])))
        parts.append(_told(_GRAPH, b"".join(graph)))
    return b"".join(parts) if found else None


def _head(data: mmap.mmap, tensor: _Field, raw: _Field, *, at: int) -> bytes:
    """A tensor up to its data, which begin at a multiple of `ALIGNMENT` where the head is written `at` a position."""
    kept = _but_its_data(data, tensor)
    start = _key(_INITIALIZER)
    to_data = _key(_RAW_DATA) + _wide(raw.end - raw.value)
    filling = -(at + len(start) + _WIDE + len(kept) + len(_told(_DOC_STRING, b"")) + len(to_data)) % ALIGNMENT
    before = kept + _told(_DOC_STRING, b" " * filling) + to_data
    return start + _wide(len(before) + raw.end - raw.value) + before


def _large_of(data: mmap.mmap, field: _Field) -> _Field | None:
    """The data of a large tensor, if the field of a graph is one."""
    if field.number != _INITIALIZER or field.end - field.value < LARGE_BYTES:
        return None
    for each in _fields(data, field.value, field.end):
        if each.number == _RAW_DATA and each.end - each.value >= LARGE_BYTES:
            return each
    return None


def _but_its_data(data: mmap.mmap, tensor: _Field) -> bytes:
    left_out = (_RAW_DATA, _DOC_STRING, _EXTERNAL_DATA, _DATA_LOCATION)
    fields = _fields(data, tensor.value, tensor.end)
    return b"".join(data[each.start : each.end] for each in fields if each.number not in left_out)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """Those of one message; raises `ValueError` where it is none."""
    while start < end:
        key, value = _read_varint(data, start)
        kind = key & 7
        if kind == _LENGTH:
            length, value = _read_varint(data, value)
        elif kind == _VARINT:
            length = _read_varint(data, value)[1] - value
        elif kind in (_FIXED_32, _FIXED_64):
            length = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError("not a message")
        if value + length > end:
            raise ValueError("a field ends after its message")
        yield _Field(key >> 3, start, value, value + length)
        start = value + length


def _read_varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError("not a number")


def _told(number: int, value: bytes) -> bytes:
    return _key(number) + _varint(len(value)) + value


def _key(number: int) -> bytes:
    return _varint(number << 3 | _LENGTH)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _wide(number: int) -> bytes:
    """The same in `_WIDE` bytes, whatever the number."""
    last = 7 * (_WIDE - 1)
    return bytes([*(number >> shift & 0x7F | 0x80 for shift in range(0, last, 7)), number >> last])
