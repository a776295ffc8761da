"""Matrices in 8 bits: near the product of real numbers, and each row for itself."""

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
#: Of one call, which no common scale would suit.
ROWS = (RANDOM.standard_normal((3, 5, WIDTH)) * np.array([1e-3, 1, 1e3])[:, None, None]).astype(np.float32)
#: Of a product, as a share of the largest magnitudes. Rounding both factors errs evenly by up to half a level, so this
#: is the deviation of the sum of products if all values were the largest; these are a third of it, so that it is
#: three.
LARGEST_ERROR = (2 * WIDTH / 12) ** 0.5 / LEVELS


def graph(folder: Path, *nodes: NodeProto, opset: int = 18, read: int = TensorProto.FLOAT, **constants: Any) -> Path:
    path = folder / "graph.onnx"
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", read, None)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def written(source: Path) -> Session:
    target = source.with_name("written.onnx")
    write(source, target)
    return Session(target)


def operators(path: Path) -> list[str]:
    return [each.op_type for each in onnx.load(path).graph.node]


def largest_error(found: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> float:
    largest = np.abs(rows).max(axis=-1, keepdims=True) * np.abs(MATRIX).max()
    return float((np.abs(found - wanted) / np.maximum(largest, 1e-30)).max())


@pytest.mark.parametrize("opset", [13, 18])
def test_a_product_lies_near_that_of_real_numbers_whatever_the_size_of_its_row(tmp_path: Path, opset: int) -> None:
    session = written(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), opset=opset, w=MATRIX))
    found = session.run({"x": ROWS})["y"]
    assert 0 < largest_error(found, ROWS, ROWS @ MATRIX) < LARGEST_ERROR
    assert "MatMulIntegerToFloat" in operators(tmp_path / "written.onnx")
    assert (tmp_path / "written.onnx").stat().st_size < MATRIX.nbytes / 3


def test_no_bit_of_a_row_depends_on_the_rows_beside_it(tmp_path: Path) -> None:
    session = written(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=MATRIX))
    together = session.run({"x": ROWS})["y"]
    for row, answer in zip(ROWS.reshape(-1, 1, 1, WIDTH), together.reshape(-1, COLUMNS), strict=True):
        assert (session.run({"x": row})["y"][0, 0] == answer).all()


def test_rows_and_columns_of_zeros_give_zeros(tmp_path: Path) -> None:
    matrix = MATRIX.copy()
    matrix[:, 3] = 0
    session = written(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=matrix))
    rows = ROWS.copy()
    rows[:, 2] = 0
    found = session.run({"x": rows})["y"]
    assert np.isfinite(found).all()
    assert not found[:, 2].any()
    assert not found[..., 3].any()


@pytest.mark.parametrize("turned", [False, True])
def test_a_layer_with_a_bias_is_written_either_way_round(tmp_path: Path, *, turned: bool) -> None:
    bias = RANDOM.standard_normal(COLUMNS).astype(np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(turned))
    session = written(graph(tmp_path, node, w=MATRIX.T.copy() if turned else MATRIX, b=bias))
    assert largest_error(session.run({"x": ROWS[1]})["y"], ROWS[1], ROWS[1] @ MATRIX + bias) < LARGEST_ERROR


def test_a_table_keeps_a_scale_for_each_of_its_rows(tmp_path: Path) -> None:
    table = (MATRIX * np.geomspace(1e-3, 1e3, WIDTH)[:, None]).astype(np.float32)
    session = written(graph(tmp_path, helper.make_node("Gather", ["w", "x"], ["y"]), read=TensorProto.INT64, w=table))
    found = session.run({"x": np.array([[0, 5], [127, 5]])})["y"]
    wanted = table[[[0, 5], [127, 5]]]
    # Half a level of the row's own.
    assert (np.abs(found - wanted) <= 0.501 * np.abs(wanted).max(axis=-1, keepdims=True) / LEVELS).all()
    assert (tmp_path / "written.onnx").stat().st_size < table.nbytes / 3


def test_rows_that_several_read_are_scaled_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"]),
        helper.make_node("MatMul", ["x", "w"], ["two"]),
        helper.make_node("Add", ["one", "two"], ["y"]),
    ]
    session = written(graph(tmp_path, *nodes, w=MATRIX))
    assert largest_error(session.run({"x": ROWS})["y"], ROWS, 2 * ROWS @ MATRIX) < 2 * LARGEST_ERROR
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
    ids=["scaled", "rows turned", "small", "the other side", "columns looked up"],
)
def test_what_would_not_win_is_left_as_it_is(tmp_path: Path, node: NodeProto) -> None:
    read = TensorProto.INT64 if node.op_type == "Gather" else TensorProto.FLOAT
    path = graph(tmp_path, node, read=read, w=MATRIX, small=MATRIX[:, :8].copy())
    write(path, tmp_path / "written.onnx")
    assert operators(tmp_path / "written.onnx") == [node.op_type]


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 to be another processor with")
def test_a_processor_without_vnni_answers_alike(tmp_path: Path) -> None:
    # The largest of all numbers: two products of them are more than 16 bits hold, in which such a processor adds.
    session = written(graph(tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), w=np.ones_like(MATRIX)))
    assert session.run({"x": np.ones((1, WIDTH), np.float32)})["y"][0] == pytest.approx(WIDTH)
    code = f"""
import numpy
from pathlib import Path
from ml.inference.onnx_session import Session

session = Session(Path({str(tmp_path / "written.onnx")!r}))
print(session.run({{"x": numpy.ones((1, {WIDTH}), numpy.float32)}})["y"].mean())
"""
    # `max` is the most that it knows, which has AVX2 and nothing of AVX-512.
    ran = subprocess.run(["qemu-x86_64", "-cpu", "max", sys.executable, "-c", code], capture_output=True, text=True)
    assert float(ran.stdout) == pytest.approx(WIDTH), ran.stderr
