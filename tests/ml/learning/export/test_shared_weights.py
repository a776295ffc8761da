"""Quantized graphs whose products share a weight, opened as on any processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.learning.export.quantization import CANDIDATES, QuantizationCandidate, write
from ml.learning.export.shared_weights import copy_shared_weights

SIZE = 32


def save_sum_of_products(path: Path, weights: list[str]) -> None:
    numbers = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", weights[0]], ["a"]),
        helper.make_node("MatMul", ["y", weights[-1]], ["b"]),
        helper.make_node("Add", ["a", "b"], ["z"]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", SIZE]) for name in "xy"]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["rows", SIZE])]
    initializers = [numpy_helper.from_array(numbers, name) for name in weights]
    graph = helper.make_graph(nodes, "sum", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
def test_a_quantized_graph_with_a_shared_weight_opens_with_exact_products(
    tmp_path: Path, candidate: QuantizationCandidate
) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "quantized.onnx"
    save_sum_of_products(source, ["w"])
    rows = {name: np.random.default_rng(1).normal(size=(4, SIZE)).astype(np.float32) for name in "xy"}
    write(candidate, source, target, [rows])
    options = onnxruntime.SessionOptions()
    # Has an effect only on processors whose 8-bit products saturate.
    options.add_session_config_entry("session.x64quantprecision", "1")
    (quantized,) = onnxruntime.InferenceSession(target, options).run(None, rows)
    (exact,) = onnxruntime.InferenceSession(source).run(None, rows)
    # 8 bits of weights and activations: an error of some percent of the largest value.
    assert np.abs(quantized - exact).max() < 0.05 * np.abs(exact).max()
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == []


def test_a_graph_without_shared_weights_is_not_written_again(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "copied.onnx"
    save_sum_of_products(source, ["v", "w"])
    assert not copy_shared_weights(source, target)
    assert not target.exists()
