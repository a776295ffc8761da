"""Matrices in 8 bits: products close to exact ones, and rows independent of each other."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ml.inference.onnx_session import Session
from ml.learning.export.per_row_quantization import LEVELS, write

WIDTH, COLUMNS = 128, 160
RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.standard_normal((WIDTH, COLUMNS)).astype(np.float32)
#: Rows of one call that have no suitable common scale.
ROWS = (RANDOM.standard_normal((3, 5, WIDTH)) * np.array([1e-3, 1, 1e3])[:, None, None]).astype(np.float32)
#: Error of a product as a fraction of the largest magnitudes. Rounding of both factors has uniform errors of up to half
#: a level, so this is the standard deviation of the sum of products if all values were the largest. They are a third of
#: it here, so that it is three standard deviations.
MAX_ERROR = (2 * WIDTH / 12) ** 0.5 / LEVELS


def graph(
    folder: Path, *nodes: NodeProto, opset: int = 18, input_type: int = TensorProto.FLOAT, **constants: Any
) -> Path:
    path = folder / "graph.onnx"
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", input_type, None)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def quantize(source: Path) -> Session:
    target = source.with_name("written.onnx")
    write(source, target)
    return Session(target)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def max_error(product: np.ndarray, rows: np.ndarray, expected: np.ndarray) -> float:
    largest = np.abs(rows).max(axis=-1, keepdims=True) * np.abs(MATRIX).max()
    return float((np.abs(product - expected) / np.maximum(largest, 1e-30)).max())


@pytest.mark.parametrize("opset", [13, 18])
def test_a_product_is_close_to_the_exact_one_for_rows_of_any_size(tmp_path: Path, opset: int) -> None:
    session = quantize(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), opset=opset, w=MATRIX))
    product = session.run({"x": ROWS})["y"]
    assert 0 < max_error(product, ROWS, ROWS @ MATRIX) < MAX_ERROR
    assert "MatMulIntegerToFloat" in operators(tmp_path / "written.onnx")
    assert (tmp_path / "written.onnx").stat().st_size < MATRIX.nbytes / 3


def test_no_bit_of_a_row_depends_on_other_rows(tmp_path: Path) -> None:
    session = quantize(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=MATRIX))
    together = session.run({"x": ROWS})["y"]
    for row, answer in zip(ROWS.reshape(-1, 1, 1, WIDTH), together.reshape(-1, COLUMNS), strict=True):
        assert (session.run({"x": row})["y"][0, 0] == answer).all()


def test_rows_and_columns_of_zeros_give_zeros(tmp_path: Path) -> None:
    matrix = MATRIX.copy()
    matrix[:, 3] = 0
    session = quantize(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=matrix))
    rows = ROWS.copy()
    rows[:, 2] = 0
    values = session.run({"x": rows})["y"]
    assert np.isfinite(values).all()
    assert not values[:, 2].any()
    assert not values[..., 3].any()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_layer_with_a_bias_is_quantized_in_both_layouts(tmp_path: Path, *, transposed: bool) -> None:
    bias = RANDOM.standard_normal(COLUMNS).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(transposed))
    session = quantize(graph(tmp_path, node, w=MATRIX.T.copy() if transposed else MATRIX, b=bias))
    assert max_error(session.run({"x": ROWS[1]})["y"], ROWS[1], ROWS[1] @ MATRIX + bias) < MAX_ERROR


def test_a_table_keeps_a_scale_for_each_of_its_rows(tmp_path: Path) -> None:
    table = (MATRIX * np.geomspace(1e-3, 1e3, WIDTH)[:, None]).astype(np.float32)
    session = quantize(
        graph(tmp_path, helper.make_node("Gather", ["w", "x"], ["y"]), input_type=TensorProto.INT64, w=table)
    )
    values = session.run({"x": np.array([[0, 5], [127, 5]])})["y"]
    expected = table[[[0, 5], [127, 5]]]
    # Half a level of the row's own scale.
    assert (np.abs(values - expected) <= 0.501 * np.abs(expected).max(axis=-1, keepdims=True) / LEVELS).all()
    assert (tmp_path / "written.onnx").stat().st_size < table.nbytes / 3


def test_rows_that_several_nodes_read_are_scaled_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["first"]),
        helper.make_node("MatMul", ["x", "w"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["y"]),
    ]
    session = quantize(graph(tmp_path, *nodes, w=MATRIX))
    assert max_error(session.run({"x": ROWS})["y"], ROWS, 2 * ROWS @ MATRIX) < 2 * MAX_ERROR
    assert operators(tmp_path / "written.onnx").count("QuantizeLinear") == 1


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Gemm", ["x", "w"], ["y"], alpha=0.5),
        helper.make_node("Gemm", ["x", "w"], ["y"], transA=1),
        helper.make_node("MatMul", ["x", "small"], ["y"]),
        helper.make_node("MatMul", ["w", "x"], ["y"]),
        helper.make_node("Gather", ["w", "x"], ["y"], axis=1),
    ],
    ids=["scaled", "rows transposed", "small", "the other side", "columns looked up"],
)
def test_other_nodes_stay_as_they_are(tmp_path: Path, node: NodeProto) -> None:
    input_type = TensorProto.INT64 if node.op_type == "Gather" else TensorProto.FLOAT
    path = graph(tmp_path, node, input_type=input_type, w=MATRIX, small=MATRIX[:, :8].copy())
    write(path, tmp_path / "written.onnx")
    assert operators(tmp_path / "written.onnx") == [node.op_type]


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="qemu-x86_64 is not installed")
def test_a_processor_without_vnni_has_the_same_output(tmp_path: Path) -> None:
    # The largest values: the sum of two products overflows the 16 bits in which such a processor adds.
    session = quantize(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=np.ones_like(MATRIX)))
    assert session.run({"x": np.ones((1, WIDTH), np.float32)})["y"][0] == pytest.approx(WIDTH)
    code = f"""
import numpy
from pathlib import Path
from ml.inference.onnx_session import Session

session = Session(Path({str(tmp_path / "written.onnx")!r}))
print(session.run({{"x": numpy.ones((1, {WIDTH}), numpy.float32)}})["y"].mean())
"""
    # The CPU `max` of qemu has AVX2 and nothing of AVX-512.
    process = subprocess.run(["qemu-x86_64", "-cpu", "max", sys.executable, "-c", code], capture_output=True, text=True)
    assert float(process.stdout) == pytest.approx(WIDTH), process.stderr
