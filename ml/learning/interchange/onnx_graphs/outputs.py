"""Outputs of imported ONNX graphs: logits, whichever nodes the graph ends in.

Exporters append a softmax, often behind casts and copies. Plinth computes probabilities itself, so these endings are
removed. An ending that is not recognized by its nodes is recognized by its values, and undone by a logarithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Element type of `onnx.TensorProto`.
FLOAT: Final = 1
#: Element types of numbers with a fraction: float32, float16, float64 and bfloat16.
FLOATS: Final = frozenset({1, 10, 11, 16})
LOGITS: Final = "logits"
#: Nodes that pass values on at inference.
COPIES: Final = frozenset({"Cast", "Dropout", "Identity"})
#: Nodes that pass values on in another shape.
SHAPES: Final = frozenset({"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
#: Nodes that no probabilities come from: sums of products, and what quantization adds to them.
LINEAR: Final = frozenset(
    {"Add", "Conv", "DequantizeLinear", "Div", "Einsum", "FusedGemm", "Gemm", "LogSoftmax", "MatMul", "Mul", "QGemm"}
    | {"GlobalAveragePool", "QLinearAdd", "QLinearMatMul", "ReduceMean", "Sub", "Sum"}
)
#: Axes of the classes in a tensor [batch, classes, ...].
CLASS_AXES: Final = frozenset({-1, 1})
#: Largest difference from 1 of a sum of probabilities, of which some may be float16.
SUM_TOLERANCE: Final = 1e-3
#: Smallest probability whose logarithm is computed.
MIN_PROBABILITY: Final = 1e-30
SOFTMAX_NOTE: Final = "the final softmax is removed, as probabilities are computed from logits"


def set_logits(model: Any, *, classes: int) -> list[str]:
    """Make `logits` float32 [batch, classes] the one output; returns notes.

    A final softmax is removed. One output behind a sigmoid becomes two logits. Raises `PackageError` for a sigmoid over
    several classes, and for the number of a class.
    """
    from onnx import helper

    [output] = model.graph.output
    if output.type.tensor_type.elem_type not in FLOATS:
        _, node = _trace_copies(model, output.name)
        raise PackageError(
            f"the output {output.name} of the graph is the number of a class, without scores of the others: it ends in "
            f"{node.op_type if node else 'a copy'}",
            hint=f"Export the logits, float32 [batch, {classes}]: onnx.utils.extract_model cuts a graph at a tensor.",
        )
    rank = len(output.type.tensor_type.shape.dim)
    source, notes = _find_logits(model, output.name)
    columns, sigmoid_notes = _read_sigmoid(model, source, output, classes)
    source = columns or source
    _remove_unused(model, output.name, keep=source)
    new_names = rename_tensors(model, [LOGITS])
    source = new_names.get(source, source)
    nodes = [helper.make_node("Cast", [source], [f"{LOGITS}_float"], to=FLOAT)]
    if columns:
        nodes += [
            helper.make_node("Sub", [f"{LOGITS}_float", f"{LOGITS}_float"], [f"{LOGITS}_zero"]),
            helper.make_node("Concat", [f"{LOGITS}_zero", f"{LOGITS}_float"], [LOGITS], axis=1),
        ]
    else:
        nodes.append(helper.make_node("Flatten" if rank > 2 else "Identity", [f"{LOGITS}_float"], [LOGITS]))
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(LOGITS, FLOAT, ["batch", classes]))
    return notes + sigmoid_notes


def are_probabilities(outputs: np.ndarray, ending: str | None) -> bool:
    """Return whether all rows [B, classes] are distributions, which logits are not.

    `ending` is the operator that computes them. Raises `PackageError` for values that are neither.
    """
    hint = "Export the logits of a model that chooses one class: what its last linear layer returns."
    if np.isin(outputs, (0, 1)).all():
        raise PackageError("the outputs of the graph are only 0 and 1, so they are choices, not scores", hint=hint)
    if (outputs < 0).any():
        return False
    sums = outputs.sum(axis=1)
    if np.ptp(sums) <= SUM_TOLERANCE * sums[0]:
        if abs(sums[0] - 1) <= SUM_TOLERANCE:
            return True
        if not np.ptp(outputs, axis=0).any():
            return False  # a graph that ignores its inputs
        raise PackageError(f"the outputs of each row sum to {sums[0]:.6g}, so they are shares, not logits", hint=hint)
    if (outputs <= 1).all() and ending is not None and ending not in LINEAR:
        raise PackageError(
            f"the outputs of the graph, which ends in {ending}, are between 0 and 1 and do not sum to 1: probabilities "
            "that may all hold at once, where tasks here choose one label",
            hint=hint,
        )
    return False


def find_ending(model: Any) -> str | None:
    """Return the operator that computes the logits, before copies and changes of shape.

    None if `set_logits` has made them of one output.
    """
    _, node = _trace(model, LOGITS, COPIES | SHAPES)
    if node is None or node.input[:1] == [f"{LOGITS}_zero"]:
        return None
    return str(node.op_type)


def take_logarithm(model: Any) -> str:
    """Replace the probabilities in the output by their logarithms, which are logits; returns a note."""
    from onnx import helper

    last = next(node for node in model.graph.node if LOGITS in node.output)
    last.output[:] = [f"{LOGITS}_probabilities"]
    smallest = helper.make_tensor(f"{LOGITS}_smallest", FLOAT, [], [MIN_PROBABILITY])
    model.graph.initializer.append(smallest)
    model.graph.node.extend(
        [
            helper.make_node("Max", [f"{LOGITS}_probabilities", smallest.name], [f"{LOGITS}_positive"]),
            helper.make_node("Log", [f"{LOGITS}_positive"], [LOGITS]),
        ]
    )
    return "the outputs are probabilities, as each row sums to 1; their logarithms are used as logits"


def rename_tensors(model: Any, names: Iterable[str]) -> dict[str, str]:
    """Rename the tensors of these names everywhere, so that the names are free.

    Returns new names by the old ones.
    """
    new_names = {name: f"{name}_of_the_graph" for name in names}
    for graph in _subgraphs(model.graph):
        for node in graph.node:
            for node_names in (node.input, node.output):
                node_names[:] = [new_names.get(name, name) for name in node_names]
        for tensor in (*graph.initializer, *graph.value_info, *graph.input, *graph.output):
            tensor.name = new_names.get(tensor.name, tensor.name)
    return new_names


def _find_logits(model: Any, output: str) -> tuple[str, list[str]]:
    """Return the tensor before a final softmax, or else the output, and notes."""
    source, node = _trace_copies(model, output)
    if node is None:
        return output, []
    if node.op_type == "Softmax" and _class_axis(node) in CLASS_AXES:
        return node.input[0], [SOFTMAX_NOTE]
    if node.op_type == "Exp":
        _, inner = _trace_copies(model, node.input[0])
        if inner is not None and inner.op_type == "LogSoftmax" and _class_axis(inner) in CLASS_AXES:
            return inner.input[0], [SOFTMAX_NOTE]
    return (source if node.op_type == "Sigmoid" else output), []


def _read_sigmoid(model: Any, source: str, output: Any, classes: int) -> tuple[str | None, list[str]]:
    """Return the input of a final sigmoid with one output, and notes."""
    node = _producer(model, source)
    if node is None or node.op_type != "Sigmoid":
        return None, []
    width = output.type.tensor_type.shape.dim[-1].dim_value if output.type.tensor_type.shape.dim else 0
    if width == 1 and classes == 2:
        return node.input[0], ["the one output behind a sigmoid is read as the probability of the second label"]
    raise PackageError(
        f"the graph ends in a sigmoid over {width or 'several'} outputs, which may all hold at once; tasks here choose "
        f"one of {classes} labels",
        hint="Export the logits of a model that chooses one class.",
    )


def _trace_copies(model: Any, name: str) -> tuple[str, Any | None]:
    """Return the tensor that `name` is a copy of, and the node that computes it."""
    return _trace(model, name, COPIES)


def _trace(model: Any, name: str, operators: frozenset[str]) -> tuple[str, Any | None]:
    """Return the tensor before `operators` that end in `name`, and the node that computes it."""
    node = _producer(model, name)
    while node is not None and node.op_type in operators and node.input:
        name = node.input[0]
        node = _producer(model, name)
    return name, node


def _producer(model: Any, name: str) -> Any | None:
    return next((node for node in model.graph.node if name in node.output), None)


def _class_axis(node: Any) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)


def _remove_unused(model: Any, output: str, *, keep: str) -> None:
    """Remove the nodes between `keep` and `output` that nothing else reads."""
    while output != keep and (node := _producer(model, output)) is not None:
        if any(name in _read_names(model) for name in node.output):
            return
        output = node.input[0]
        model.graph.node.remove(node)


def _read_names(model: Any) -> set[str]:
    """Return the names of all tensors that a node reads."""
    return {name for graph in _subgraphs(model.graph) for node in graph.node for name in node.input}


def _subgraphs(graph: Any) -> Sequence[Any]:
    """Return the graph and all graphs inside its nodes."""
    graphs = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                graphs += _subgraphs(inner)
    return graphs
