"""Tensors from JSON: nested, flat, of any datatype, and what is no number of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.inference_protocol.datatypes import from_json


@pytest.mark.parametrize("datatype", ["UINT8", "INT64", "FP32"])
@pytest.mark.parametrize("data", [[[[0, 7], [255, 1]]], [0, 7, 255, 1], [[0, 7, 255], [1]], [0, [7, [255, 1]]]])
def test_nested_and_flat_data_are_the_same_tensor(datatype: str, data: Any) -> None:
    tensor = from_json(datatype, [1, 2, 2], data)
    assert isinstance(tensor, np.ndarray)
    assert tensor.dtype == {"UINT8": np.uint8, "INT64": np.int64, "FP32": np.float32}[datatype]
    assert tensor.tolist() == [[[0, 7], [255, 1]]]


def test_whole_floats_and_booleans_are_whole_numbers() -> None:
    for data in ([2.0, True, 0], [[2.0], [True], [0]]):
        assert np.asarray(from_json("UINT8", [3], data)).tolist() == [2, 1, 0]
    assert np.asarray(from_json("BOOL", [2], [1, False])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("datatype", "data", "words"),
    [
        ("UINT8", [256, 1], "beyond the range of UINT8"),
        ("UINT8", [-1, 1], "beyond the range of UINT8"),
        ("UINT8", [[1.5], [1]], "UINT8 cannot hold"),
        ("INT64", [2**63, 1], "beyond the range of INT64"),
        ("BOOL", [2, 1], "BOOL cannot hold"),
        ("UINT8", ["1", 1], "numbers or booleans"),
        ("UINT8", [None, 1], "numbers or booleans"),
        ("UINT8", [1], "has 1 elements"),
        ("UINT8", [[], [1]], "has 1 elements"),
        ("UINT8", 1, "has 1 elements"),
        ("BYTES", ["a", 1], "strings"),
        ("BF16", [1, 1], "BF16"),
    ],
)
def test_elements_of_another_datatype_are_refused(datatype: str, data: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(datatype, [2], data)
