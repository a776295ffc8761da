"""Copies of weights that several products of an ONNX graph read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: Operators whose second input is a weight that is quantized.
PRODUCTS: Final = frozenset({"MatMul", "Gemm", "Conv"})
WEIGHT_INPUT: Final = 1


def copy_shared_weights(source: Path, target: Path) -> bool:
    """Copy the weights that several products of a graph read, and write it.

    Returns whether there were any; without, nothing is written. ONNX Runtime refuses quantized products with a common
    weight on processors that need exact sums (`ml.inference.cpu_features`).
    """
    import onnx

    model = onnx.load(source)
    weights = {weight.name: weight for weight in model.graph.initializer}
    readers = dict.fromkeys(weights, 0)
    for node in model.graph.node:
        name = node.input[WEIGHT_INPUT] if node.op_type in PRODUCTS else ""
        if name not in weights:
            continue
        readers[name] += 1
        if readers[name] > 1:
            copy = onnx.TensorProto()
            copy.CopyFrom(weights[name])
            copy.name = f"{name}.{readers[name]}"
            model.graph.initializer.append(copy)
            node.input[WEIGHT_INPUT] = copy.name
    if all(count < 2 for count in readers.values()):
        return False
    onnx.save(model, target)
    return True
