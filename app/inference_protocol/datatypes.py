"""Datatypes of tensors: from JSON and from bytes to arrays, and back."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
        raise ValueError(f"has {len(data)} bytes, and its shape requires {expected}")
    array = np.frombuffer(data, dtype).reshape(shape)
    return (array.astype("<u4") << 16).view("<f4") if datatype == BFLOAT16 else array


def from_json(datatype: str, shape: Sequence[int], data: Any) -> np.ndarray | list[str]:
    """Return a tensor of numbers, or the flat elements of `BYTES`.

    `data` is nested, or flat in row-major order. Raises `ValueError`.
    """
    if datatype == BFLOAT16:
        raise ValueError("has datatype BF16, which JSON does not have; send it as binary data, or as FP32")
    elements = list(_flatten(data))
    count = math.prod(shape)
    if len(elements) != count:
        raise ValueError(f"has {len(elements)} elements, and its shape requires {count}")
    if datatype == BYTES:
        if not all(isinstance(element, str) for element in elements):
            raise ValueError("has datatype BYTES, whose elements are strings in JSON")
        return elements
    if not all(isinstance(element, int | float) for element in elements):
        raise ValueError(f"has datatype {datatype}, whose elements are numbers or booleans")
    return _to_numbers(datatype, elements).reshape(shape)


def to_bytes(array: np.ndarray | Sequence[bytes]) -> bytes:
    """Encode numbers in row-major order, or elements of `BYTES`, each after its length."""
    if isinstance(array, np.ndarray):
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(part for element in array for part in (_LENGTH.pack(len(element)), element))


def _to_numbers(datatype: str, elements: Sequence[Any]) -> np.ndarray:
    dtype = NUMBERS[datatype]
    try:
        array = np.array(elements, dtype)
    except OverflowError:
        raise ValueError(f"has a number that is beyond {datatype}") from None
    # Exact: numpy would cut 1.5 to 1 without a word.
    if dtype.kind != "f" and any(number != element for number, element in zip(array.tolist(), elements, strict=True)):
        raise ValueError(f"has a number that is no {datatype}")
    return array


def _flatten(data: Any) -> Iterable[Any]:
    """Yield the elements of nested lists, in order."""
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
            raise ValueError(f"ends within its element {len(elements)}")
        elements.append(bytes(data[start:end]))
        position = end
    if len(elements) != count:
        raise ValueError(f"has {len(elements)} elements, and its shape requires {count}")
    return elements
