"""Matrix products in 8 bits with a scale for each row of activations.

Rows of one call do not change each other's outputs.

With m the largest magnitude of each row of x, s that of each column of W in 127ths, and Q = W / s, all rounded:

    x W  ~  m * s * (round(127 x / m) Q) / 127

which is the vector-wise quantization of LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339, section 2).
Embedding tables are written in 8 bits as well, each row with its scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import GraphProto, NodeProto, TensorProto

#: Elements of a matrix. For a smaller one, scaling its rows costs more than 8 bits save.
MIN_WEIGHTS: Final = 1 << 14
LEVELS: Final = 127
#: Zero point of activations: processors multiply unsigned activations by signed weights.
ZERO: Final = 128
#: Scale of a row or column of zeros, whose scale would be 0.
MIN_SCALE: Final = np.float32(1e-30)
#: First opset in which ReduceMax has its axes as an input.
AXES_INPUT_OPSET: Final = 18
MICROSOFT: Final = "com.microsoft"


def write(source: Path, target: Path) -> None:
    """Write a graph to another file with all large constant matrices in 8 bits."""
    import onnx
    from onnx import helper

    model = onnx.load(source)
    (opset,) = [entry.version for entry in model.opset_import if not entry.domain]
    nodes = list(_Rewriter(model.graph, opset=opset).nodes())
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    initializers = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)
    if all(entry.domain != MICROSOFT for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.save(model, target)


class _Rewriter:
    """Rewrites a graph node by node; shared inputs are quantized once."""

    def __init__(self, graph: GraphProto, *, opset: int) -> None:
        self._graph = graph
        self._opset = opset
        self._constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._written: set[str] = set()

    def nodes(self) -> Iterator[NodeProto]:
        for node in list(self._graph.node):
            matrix = self._matrix_of(node)
            if matrix is None:
                yield node
            elif node.op_type == "Gather":
                yield from self._rewrite_lookup(node, matrix)
            else:
                yield from self._rewrite_product(node, matrix)

    def _matrix_of(self, node: NodeProto) -> np.ndarray | None:
        """Return the stored matrix float32 [K, N] to quantize; None if the node has none."""
        from onnx import numpy_helper

        attributes = _attributes(node)
        position = 0 if node.op_type == "Gather" and attributes.get("axis", 0) == 0 else 1
        is_product_or_lookup = node.op_type in ("MatMul", "Gather") or (
            node.op_type == "Gemm"
            and not attributes.get("transA")
            and attributes.get("alpha", 1) == attributes.get("beta", 1) == 1
        )
        constant = self._constants.get(node.input[position]) if is_product_or_lookup else None
        if constant is None or constant.data_type != constant.FLOAT or len(constant.dims) != 2:
            return None
        matrix = numpy_helper.to_array(constant)
        return matrix if matrix.size >= MIN_WEIGHTS and np.isfinite(matrix).all() else None

    def _rewrite_lookup(self, node: NodeProto, table: np.ndarray) -> Iterator[NodeProto]:
        from onnx import TensorProto

        name, rows = node.input
        scale = _scales(table, axis=1)
        if self._is_new(f"{name}.by_row"):
            self._add_constant(f"{name}.by_row", _round(table / scale))
            self._add_constant(f"{name}.scale_by_row", scale)
        (output,) = node.output
        yield _node("Gather", [f"{name}.by_row", rows], f"{output}.levels")
        yield _node("Cast", [f"{output}.levels"], f"{output}.numbers", to=TensorProto.FLOAT)
        yield _node("Gather", [f"{name}.scale_by_row", rows], f"{output}.scale")
        yield _node("Mul", [f"{output}.numbers", f"{output}.scale"], output)

    def _rewrite_product(self, node: NodeProto, matrix: np.ndarray) -> Iterator[NodeProto]:
        rows, _, *bias = node.input
        (product,) = node.output
        if self._is_new("row_scales.step"):
            self._add_constant("row_scales.step", np.array(1 / LEVELS, dtype=np.float32))
            self._add_constant("row_scales.zero", np.array(ZERO, dtype=np.uint8))
            self._add_constant("row_scales.least", np.array(MIN_SCALE, dtype=np.float32))
            self._add_constant("row_scales.axis", np.array([-1], dtype=np.int64))
        if _attributes(node).get("transB"):
            matrix = matrix.T
        # Each product has its own constants: ONNX Runtime fails to rewrite shared ones, which some processors require.
        columns, scale = f"{product}.columns", _scales(matrix, axis=0)
        self._add_constant(columns, _round(matrix / scale))
        self._add_constant(f"{columns}.scale", scale[0])
        self._add_constant(f"{columns}.zero", np.zeros(matrix.shape[1], dtype=np.int8))
        if self._is_new(f"{rows}.levels"):
            yield _node("Abs", [rows], f"{rows}.magnitude")
            yield self._row_maximum(f"{rows}.magnitude", f"{rows}.largest")
            # Not 0, as a row of padding may be.
            yield _node("Max", [f"{rows}.largest", "row_scales.least"], f"{rows}.scale")
            yield _node("Div", [rows, f"{rows}.scale"], f"{rows}.scaled")
            yield _node("QuantizeLinear", [f"{rows}.scaled", "row_scales.step", "row_scales.zero"], f"{rows}.levels")
        inputs = [
            f"{rows}.levels",
            columns,
            "row_scales.step",
            f"{columns}.scale",
            "row_scales.zero",
            f"{columns}.zero",
        ]
        yield _node("MatMulIntegerToFloat", inputs, f"{product}.scaled", domain=MICROSOFT)
        scaled_back = f"{product}.without_bias" if bias else product
        yield _node("Mul", [f"{product}.scaled", f"{rows}.scale"], scaled_back)
        if bias:
            yield _node("Add", [scaled_back, *bias], product)

    def _row_maximum(self, values: str, name: str) -> NodeProto:
        if self._opset >= AXES_INPUT_OPSET:
            return _node("ReduceMax", [values, "row_scales.axis"], name)
        return _node("ReduceMax", [values], name, axes=[-1])

    def _is_new(self, name: str) -> bool:
        is_new = name not in self._written
        self._written.add(name)
        return is_new

    def _add_constant(self, name: str, values: np.ndarray) -> None:
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _scales(matrix: np.ndarray, *, axis: int) -> np.ndarray:
    scales: np.ndarray = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True) / LEVELS, MIN_SCALE)
    return scales


def _round(levels: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(levels)
    return rounded.astype(np.int8)


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    # Named after its output, which is unique.
    return helper.make_node(operator, inputs, [output], name=output, **attributes)
