"""ONNX files of strangers: read without following what they point at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read(path: Path) -> Any:
    """An `onnx.ModelProto`; raises `PackageError` where it is none, or keeps its tensors in other files."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own have no base that its types know
        raise PackageError(f"{path.name} is no ONNX file: {error}") from error
    if not model.graph.node:
        raise PackageError(f"{path.name} is no ONNX file: it has no graph")
    outside = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == outside for tensor in _tensors(model)):
        message = f"{path.name} keeps its tensors in other files, which could be any on this machine"
        raise PackageError(message, hint="Save it as one file: onnx.save(model, path, save_as_external_data=False).")
    return model


def refuse_outside_data(path: Path) -> None:
    """Raises `PackageError`."""
    read(path)


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
