"""Reading of untrusted ONNX files, without loading the external files they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_onnx(path: Path) -> Any:
    """Return the `onnx.ModelProto` of a file.

    Raises `PackageError` if it is not an ONNX file, or keeps tensors in external files.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # the exceptions of protobuf have no typed base class
        raise PackageError(
            f"{path.name} is not an ONNX file: {error}", hint="Export the model again with torch.onnx.export."
        ) from error
    if not model.graph.node:
        raise PackageError(f"{path.name} is not an ONNX file: it has no graph", hint="Export the model again.")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        message = f"{path.name} keeps tensors in other files, which may be any file of this machine"
        raise PackageError(message, hint="Save it as one file: onnx.save(model, path, save_as_external_data=False).")
    return model


def refuse_external_data(path: Path) -> None:
    """Raise `PackageError` if a file is no ONNX file, or keeps tensors elsewhere."""
    read_onnx(path)


def _tensors(model: Any) -> Iterator[Any]:
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors_of_graph(graph)
