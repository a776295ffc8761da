"""ONNX files whose large tensors are memory-mapped instead of copied.

ONNX Runtime takes 150 ms to load a graph of 90 MB, and twice its size in memory, unless its tensors are mapped from a
file, which may be the graph's own file. `align_weights` moves each tensor to an aligned position, and
`reference_weights` refers ONNX Runtime to these positions. To other programs the file is an ordinary, complete ONNX
file.

Both walk over the fields of the file by the encoding of protocol buffers, and interpret only those that lead to
tensors: <https://protobuf.dev/programming-guides/encoding/>, `onnx.proto` of ONNX.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Smaller tensors are cheaper to copy than to map.
LARGE_BYTES: Final = 64 * 1024
#: Bytes of a cache line, and of the widest registers.
ALIGNMENT: Final = 64

_GRAPH: Final = 7  # of ModelProto
_INITIALIZER: Final = 5  # of GraphProto
_RAW_DATA, _DOC_STRING, _EXTERNAL_DATA, _DATA_LOCATION = 9, 12, 13, 14  # of TensorProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_EXTERNAL: Final = b"\x01"
#: Bytes of a length that is written before it is known.
_WIDE: Final = 5


class _Field(NamedTuple):
    """Position of a field of a message: its key, its value, and its end."""

    number: int
    start: int
    value: int
    end: int


def reference_weights(path: Path) -> bytes | None:
    """Return the model with references to its file in place of large tensors.

    Return None where none can be mapped, and for a file that is not an ONNX model. ONNX Runtime must be given the
    folder of the file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _with_references(data, path.name.encode())
    except (ValueError, IndexError):
        return None


def align_weights(path: Path) -> None:
    """Rewrite the file so that its large tensors can be mapped.

    This adds some bytes of padding.
    """
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
            start = new.tell()
            for member in _fields(data, field.value, field.end):
                raw = _large_data(data, member)
                if raw is None:
                    new.write(data[member.start : member.end])
                else:
                    new.write(_head(data, member, raw, at=new.tell()))
                    new.write(data[raw.value : raw.end])
            end = new.tell()
            new.seek(start - _WIDE)
            new.write(_wide(end - start))
            new.seek(end)
    staged.replace(path)


def _with_references(data: mmap.mmap, name: bytes) -> bytes | None:
    parts: list[bytes] = []
    has_references = False
    for field in _fields(data, 0, len(data)):
        if field.number != _GRAPH:
            parts.append(data[field.start : field.end])
            continue
        graph: list[bytes] = []
        for member in _fields(data, field.value, field.end):
            raw = _large_data(data, member)
            if raw is None or raw.value % ALIGNMENT:
                graph.append(data[member.start : member.end])
            else:
                has_references = True
                place = {b"location": name, b"offset": b"%d" % raw.value, b"length": b"%d" % (raw.end - raw.value)}
                entries = [_encode(_EXTERNAL_DATA, _encode(_KEY, key) + _encode(_VALUE, place[key])) for key in place]
                location = _varint(_DATA_LOCATION << 3 | _VARINT) + _EXTERNAL
                graph.append(_encode(_INITIALIZER, b"".join([_without_data(data, member), *entries, location])))
        parts.append(_encode(_GRAPH, b"".join(graph)))
    return b"".join(parts) if has_references else None


def _head(data: mmap.mmap, tensor: _Field, raw: _Field, *, at: int) -> bytes:
    """Encode a tensor up to its data.

    The data is aligned if the head is written `at` this position.
    """
    metadata = _without_data(data, tensor)
    start = _key(_INITIALIZER)
    data_key = _key(_RAW_DATA) + _wide(raw.end - raw.value)
    empty_length = at + len(start) + _WIDE + len(metadata) + len(_encode(_DOC_STRING, b"")) + len(data_key)
    before = metadata + _encode(_DOC_STRING, b" " * (-empty_length % ALIGNMENT)) + data_key
    return start + _wide(len(before) + raw.end - raw.value) + before


def _large_data(data: mmap.mmap, field: _Field) -> _Field | None:
    """Return the data of a large tensor, if the field of a graph is one."""
    if field.number != _INITIALIZER or field.end - field.value < LARGE_BYTES:
        return None
    for member in _fields(data, field.value, field.end):
        if member.number == _RAW_DATA and member.end - member.value >= LARGE_BYTES:
            return member
    return None


def _without_data(data: mmap.mmap, tensor: _Field) -> bytes:
    omitted = (_RAW_DATA, _DOC_STRING, _EXTERNAL_DATA, _DATA_LOCATION)
    fields = _fields(data, tensor.value, tensor.end)
    return b"".join(data[field.start : field.end] for field in fields if field.number not in omitted)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """Yield the fields of a message; raises `ValueError` where the bytes are not a message."""
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


def _read_varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("not a number")


def _encode(number: int, value: bytes) -> bytes:
    return _key(number) + _varint(len(value)) + value


def _key(number: int) -> bytes:
    return _varint(number << 3 | _LENGTH)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _wide(number: int) -> bytes:
    """Encode a number in exactly `_WIDE` bytes."""
    last = 7 * (_WIDE - 1)
    return bytes([*(number >> shift & 0x7F | 0x80 for shift in range(0, last, 7)), number >> last])
