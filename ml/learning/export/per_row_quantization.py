"""Matrix products in 8 bits with a scale for each row of activations, so that no row changes another's answer.

With m the largest magnitude of each row of x, s that of each column of W in 127ths, and Q = W / s, all rounded:

    x W  ~  m * s * (round(127 x / m) Q) / 127

which is the vector-wise quantisation of LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339, section 2).
Tables of which rows are looked up are written in 8 bits likewise, each row with its scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import GraphProto, NodeProto, TensorProto

LEAST_WEIGHTS: Final = 1 << 14
"""Of a matrix; for a smaller one, scaling its rows costs more than 8 bits win."""
LEVELS: Final = 127
ZERO: Final = 128
"""Of activations, which processors multiply as numbers without a sign by those with one."""
LEAST: Final = np.float32(1e-30)
"""In place of a scale of 0: a row or column of nothing but zeros."""
AXES_ARE_AN_INPUT: Final = 18
"""The first opset in which the maximum over axes reads them."""
MICROSOFT: Final = "com.microsoft"


def write(source: Path, target: Path) -> None:
    """The graph of one file with all its large constant matrices in 8 bits, in another."""
    import onnx
    from onnx import helper

    model = onnx.load(source)
    (opset,) = [each.version for each in model.opset_import if not each.domain]
    nodes = list(_Rewriting(model.graph, opset=opset).nodes())
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input} | {each.name for each in model.graph.output}
    kept = [each for each in model.graph.initializer if each.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    if all(each.domain != MICROSOFT for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.save(model, target)


class _Rewriting:
    """Node by node; what several read is written once."""

    def __init__(self, graph: GraphProto, *, opset: int) -> None:
        self._graph = graph
        self._opset = opset
        self._constants: dict[str, TensorProto] = {each.name: each for each in graph.initializer}
        self._written: set[str] = set()

    def nodes(self) -> Iterator[NodeProto]:
        for node in list(self._graph.node):
            matrix = self._matrix_of(node)
            if matrix is None:
                yield node
            elif node.op_type == "Gather":
                yield from self._looked_up(node, matrix)
            else:
                yield from self._multiplied(node, matrix)

    def _matrix_of(self, node: NodeProto) -> np.ndarray | None:
        """float32 [K, N] as it is stored, to be multiplied by or looked up in; None where there is nothing to write."""
        from onnx import numpy_helper

        said = _attributes(node)
        at = 0 if node.op_type == "Gather" and said.get("axis", 0) == 0 else 1
        plain = node.op_type in ("MatMul", "Gather") or (
            node.op_type == "Gemm" and not said.get("transA") and said.get("alpha", 1) == said.get("beta", 1) == 1
        )
        constant = self._constants.get(node.input[at]) if plain else None
        if constant is None or constant.data_type != constant.FLOAT or len(constant.dims) != 2:
            return None
        matrix = numpy_helper.to_array(constant)
        return matrix if matrix.size >= LEAST_WEIGHTS and np.isfinite(matrix).all() else None

    def _looked_up(self, node: NodeProto, table: np.ndarray) -> Iterator[NodeProto]:
        from onnx import TensorProto

        name, rows = node.input
        scale = _scales(table, axis=1)
        if self._is_new(f"{name}.by_row"):
            self._constant(f"{name}.by_row", _rounded(table / scale))
            self._constant(f"{name}.scale_by_row", scale)
        (found,) = node.output
        yield _node("Gather", [f"{name}.by_row", rows], f"{found}.levels")
        yield _node("Cast", [f"{found}.levels"], f"{found}.numbers", to=TensorProto.FLOAT)
        yield _node("Gather", [f"{name}.scale_by_row", rows], f"{found}.scale")
        yield _node("Mul", [f"{found}.numbers", f"{found}.scale"], found)

    def _multiplied(self, node: NodeProto, matrix: np.ndarray) -> Iterator[NodeProto]:
        rows, _, *bias = node.input
        (product,) = node.output
        if self._is_new("row_scales.step"):
            self._constant("row_scales.step", np.array(1 / LEVELS, dtype=np.float32))
            self._constant("row_scales.zero", np.array(ZERO, dtype=np.uint8))
            self._constant("row_scales.least", np.array(LEAST, dtype=np.float32))
            self._constant("row_scales.axis", np.array([-1], dtype=np.int64))
        if _attributes(node).get("transB"):
            matrix = matrix.T
        # Each product has its own: ONNX Runtime fails to rewrite one that two read, as some processors need it to.
        columns, scale = f"{product}.columns", _scales(matrix, axis=0)
        self._constant(columns, _rounded(matrix / scale))
        self._constant(f"{columns}.scale", scale[0])
        self._constant(f"{columns}.zero", np.zeros(matrix.shape[1], dtype=np.int8))
        if self._is_new(f"{rows}.levels"):
            yield _node("Abs", [rows], f"{rows}.magnitude")
            yield self._largest(f"{rows}.magnitude", f"{rows}.largest")
            # Not 0, as all of a row of padding may be.
            yield _node("Max", [f"{rows}.largest", "row_scales.least"], f"{rows}.scale")
            yield _node("Div", [rows, f"{rows}.scale"], f"{rows}.scaled")
            yield _node("QuantizeLinear", [f"{rows}.scaled", "row_scales.step", "row_scales.zero"], f"{rows}.levels")
        read = [f"{rows}.levels", columns, "row_scales.step", f"{columns}.scale", "row_scales.zero", f"{columns}.zero"]
        yield _node("MatMulIntegerToFloat", read, f"{product}.scaled", domain=MICROSOFT)
        scaled_back = f"{product}.without_bias" if bias else product
        yield _node("Mul", [f"{product}.scaled", f"{rows}.scale"], scaled_back)
        if bias:
            yield _node("Add", [scaled_back, *bias], product)

    def _largest(self, read: str, name: str) -> NodeProto:
        if self._opset >= AXES_ARE_AN_INPUT:
            return _node("ReduceMax", [read, "row_scales.axis"], name)
        return _node("ReduceMax", [read], name, axes=[-1])

    def _is_new(self, name: str) -> bool:
        is_new = name not in self._written
        self._written.add(name)
        return is_new

    def _constant(self, name: str, values: np.ndarray) -> None:
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _scales(matrix: np.ndarray, *, axis: int) -> np.ndarray:
    scales: np.ndarray = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True) / LEVELS, LEAST)
    return scales


def _rounded(levels: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(levels)
    return rounded.astype(np.int8)


def _node(operator: str, read: list[str], written: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    # By what it writes: names of nodes are as unique as that.
    return helper.make_node(operator, read, [written], name=written, **attributes)
