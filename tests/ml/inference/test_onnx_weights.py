"""Graph files whose tensors are mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.inference.onnx_session import Session
from ml.inference.onnx_weights import ALIGNMENT, LARGE_BYTES, align_weights, reference_weights

WIDE = 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two products with large matrices and a small sum between."""
    draw = np.random.default_rng(0).normal
    tensors = [
        numpy_helper.from_array(draw(size=(WIDE, WIDE)).astype(np.float32), "first"),
        numpy_helper.from_array(draw(size=WIDE).astype(np.float32), "small"),
        numpy_helper.from_array(draw(size=(WIDE, WIDE)).astype(np.float32), "second"),
    ]
    tensors[0].doc_string = "a note of the exporter"
    nodes = [
        helper.make_node("MatMul", ["given", "first"], ["one"]),
        helper.make_node("Add", ["one", "small"], ["two"]),
        helper.make_node("MatMul", ["two", "second"], ["found"]),
    ]
    shape = ["batch", WIDE]
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("given", "found"))
    graph = helper.make_graph(nodes, "products", [inputs], [outputs], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"labels": "[]"})
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_an_aligned_file_is_the_same_model(path: Path) -> None:
    before = onnx.load(str(path))
    align_weights(path)
    onnx.checker.check_model(str(path), full_check=True)
    after = onnx.load(str(path))
    for tensor in (*before.graph.initializer, *after.graph.initializer):
        tensor.doc_string = ""
    assert after == before
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    align_weights(path)
    again = path.stat().st_size
    align_weights(path)
    assert path.stat().st_size == again, "padding does not accumulate"


def test_large_tensors_are_referred_to_where_they_lie(path: Path) -> None:
    align_weights(path)
    reference = reference_weights(path)
    assert reference is not None
    assert len(reference) < LARGE_BYTES
    content = path.read_bytes()
    model, whole = onnx.load_from_string(reference), onnx.load(str(path))
    places = {}
    for tensor, original in zip(model.graph.initializer, whole.graph.initializer, strict=True):
        assert (tensor.name, tensor.dims, tensor.data_type) == (original.name, original.dims, original.data_type)
        if tensor.data_location == TensorProto.EXTERNAL:
            places[tensor.name] = place = {entry.key: entry.value for entry in tensor.external_data}
            start, length = int(place["offset"]), int(place["length"])
            assert place["location"] == "model.onnx"
            assert start % ALIGNMENT == 0
            assert content[start : start + length] == original.raw_data
    assert places.keys() == {"first", "second"}


def test_both_ways_of_loading_answer_the_same(path: Path) -> None:
    batch = np.random.default_rng(1).normal(size=(3, WIDE)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(str(path)).run(None, {"given": batch})
    copied = Session(path).run({"given": batch})
    align_weights(path)
    mapped = Session(path).run({"given": batch})
    np.testing.assert_array_equal(mapped["found"], copied["found"])
    np.testing.assert_array_equal(mapped["found"], expected)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\xff" * 100_000, bytes(100), b"\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_graph_has_no_weights_to_map(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert reference_weights(tmp_path / "model.onnx") is None


def test_a_graph_without_large_tensors_is_left_to_be_copied(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["given"], ["found"])
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("given", "found"))
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "same", [inputs], [outputs])), path)
    before = path.read_bytes()
    align_weights(path)
    assert onnx.load(str(path)) == onnx.load_from_string(before)
    assert reference_weights(path) is None
