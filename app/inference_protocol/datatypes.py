"""Datatypes of tensors: from JSON and from bytes to arrays, and back."""

from __future__ import annotations

import math
import struct
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

BYTES: Final = "BYTES"
BFLOAT16: Final = "BF16"
#: Little-endian types of numbers by datatype. numpy has no bfloat16: it is the upper half of a float32.
NUMBERS: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("?"),
    **{
        f"{sign}INT{8 * size}": np.dtype(f"<{sign.lower() or 'i'}{size}") for sign in ("U", "") for size in (1, 2, 4, 8)
    },
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
_LENGTH: Final = struct.Struct("<I")


def from_bytes(datatype: str, shape: Sequence[int], data: memoryview) -> np.ndarray | list[bytes]:
    """Return a tensor of numbers, or the flat elements of `BYTES`; raises `ValueError`."""
    count = math.prod(shape)
    if datatype == BYTES:
        return _split_elements(data, count)
    dtype = np.dtype("<u2") if datatype == BFLOAT16 else NUMBERS[datatype]
    if len(data) != count * dtype.itemsize:
        expected = f"{count} x {dtype.itemsize} = {count * dtype.itemsize}"
        raise ValueError(f"has {len(data)} bytes, and its shape requires {expected}; send all, or correct the shape")
    array = np.frombuffer(data, dtype).reshape(shape)
    return (array.astype("<u4") << 16).view("<f4") if datatype == BFLOAT16 else array


def from_json(datatype: str, shape: Sequence[int], data: Any) -> np.ndarray | list[str]:
    """Return a tensor of numbers, or the flat elements of `BYTES`.

    `data` is nested, or flat in row-major order. Raises `ValueError`.
    """
    if datatype == BFLOAT16:
        raise ValueError("has datatype BF16, which JSON does not have; send it as binary data, or as FP32")
    count = math.prod(shape)
    if datatype == "UINT8" and (pixels := _join_rows(data)) is not None and len(pixels) == count:
        return np.frombuffer(pixels, np.uint8).reshape(shape)
    elements, types = _flatten(data)
    if len(elements) != count:
        raise ValueError(
            f"has {len(elements)} elements, and its shape requires {count}; send all, or correct the shape"
        )
    if datatype == BYTES:
        if not types <= {str}:
            raise ValueError(
                "has datatype BYTES, whose elements are strings in JSON; send strings, or name the datatype of numbers"
            )
        return elements
    if not types <= {bool, int, float}:
        raise ValueError(f"has datatype {datatype}, whose elements are numbers or booleans; send texts as BYTES")
    return _to_numbers(datatype, elements, types).reshape(shape)


def to_bytes(array: np.ndarray | Sequence[bytes]) -> bytes:
    """Encode numbers in row-major order, or elements of `BYTES`, each after its length."""
    if isinstance(array, np.ndarray):
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(part for element in array for part in (_LENGTH.pack(len(element)), element))


def _to_numbers(datatype: str, elements: Sequence[Any], types: Set[type]) -> np.ndarray:
    dtype = NUMBERS[datatype]
    is_whole = types == {int}
    try:
        array = np.array(elements, dtype)
    except OverflowError:
        raise ValueError(f"has a number beyond the range of {datatype}; send a wider datatype") from None
    # Exact: numpy would cut 1.5 to 1 without a word.
    is_exact = dtype.kind == "f" or (is_whole and dtype.kind in "iu")
    if not is_exact and any(number != element for number, element in zip(array.tolist(), elements, strict=True)):
        raise ValueError(f"has a number that {datatype} cannot hold exactly; send FP32 or FP64 for fractions")
    return array


def _join_rows(data: Any) -> bytes | None:
    """Return whole numbers from 0 to 255 in nested lists; None for anything else.

    It takes a tenth of the time of `_flatten`.
    """
    rows = [data]
    # bytes() of a list accepts such numbers only; bytes() of a number would give that many zeros.
    while set(map(type, rows)) == {list}:
        if not rows[0] or type(rows[0][0]) is not list:
            try:
                return b"".join(map(bytes, rows))
            except (TypeError, ValueError):
                return None
        rows = list(chain.from_iterable(rows))
    return None


def _flatten(data: Any) -> tuple[list[Any], Set[type]]:
    """Return the elements of nested lists, in order, and their types."""
    elements = data if isinstance(data, list) else [data]
    types = set(map(type, elements))
    while types == {list}:
        elements = list(chain.from_iterable(elements))
        types = set(map(type, elements))
    if list in types:  # of several depths
        elements = list(_walk(elements))
        types = set(map(type, elements))
    return elements, types


def _walk(data: Any) -> Iterable[Any]:
    pending = [iter(data if isinstance(data, list) else [data])]
    while pending:
        for item in pending[-1]:
            if isinstance(item, list):
                pending.append(iter(item))
                break
            yield item
        else:
            pending.pop()


def _split_elements(data: memoryview, count: int) -> list[bytes]:
    """Split elements that follow their lengths, as 4 bytes each."""
    elements: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, position)[0] if start <= len(data) else start
        if end > len(data):
            raise ValueError(
                f"ends within its element {len(elements)}; send the length of an element in 4 bytes before it"
            )
        elements.append(bytes(data[start:end]))
        position = end
    if len(elements) != count:
        raise ValueError(
            f"has {len(elements)} elements, and its shape requires {count}; send all, or correct the shape"
        )
    return elements
