"""Reading of untrusted ONNX files, whose tensors may be in files beside them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MAX_LISTED_FILES: Final = 5
#: Limit of a graph with its tensors, in bytes: that of a protobuf message.
MAX_BYTES: Final = 2**31 - 1


def read_onnx(path: Path, *, data_folder: Path | None = None) -> Any:
    """Return the `onnx.ModelProto` of a file, with its tensors.

    Tensors in other files are read from below `data_folder`. Raises `PackageError` if the file is not ONNX, or if its
    tensors are anywhere else.
    """
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    model = _parse_onnx(path)
    files = _data_files(model)
    if not files:
        return model
    if data_folder is None:
        raise PackageError(
            f"{path.name} keeps tensors in other files: {', '.join(sorted(files)[:MAX_LISTED_FILES])}",
            hint="Send a zip of all of them, or save it as one file: "
            "onnx.save(model, path, save_as_external_data=False).",
        )
    paths = [data_folder / name for name in check_data_files(model)]
    if missing := [file.name for file in paths if not file.is_file()]:
        raise PackageError(
            f"{path.name} keeps tensors in files that were not sent: {', '.join(missing[:MAX_LISTED_FILES])}",
            hint="Pack them beside the graph, under the names that they were exported with.",
        )
    size = path.stat().st_size + sum(file.stat().st_size for file in paths)
    if size > MAX_BYTES:
        raise PackageError(
            f"{path.name} has {size:,} bytes with its tensors (limit {MAX_BYTES:,})", hint="Export it as float16."
        )
    try:
        load_external_data_for_model(model, str(data_folder))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise PackageError(f"the tensors of {path.name} cannot be read: {error}", hint="Export it again.") from error
    return model


def check_data_files(model: Any) -> list[str]:
    """Return the names of the files with tensors of a graph, relative to its folder.

    Raises `PackageError` if one is not below that folder.
    """
    names = sorted(_data_files(model))
    for name in names:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in name or not name:
            raise PackageError(
                f"the graph keeps tensors in {name!r}, which is outside of its folder", hint="Export it again."
            )
    return names


def list_data_files(path: Path) -> list[str]:
    """Return the names of the files with tensors of an ONNX file; raises `PackageError`."""
    return check_data_files(_parse_onnx(path))


def refuse_external_data(path: Path) -> None:
    """Raise `PackageError` if a file is no ONNX file, or keeps tensors elsewhere."""
    read_onnx(path)


def _parse_onnx(path: Path) -> Any:
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # the exceptions of protobuf have no typed base class
        raise PackageError(
            f"{path.name} is not an ONNX file: {error}", hint="Export the model again with torch.onnx.export."
        ) from error
    if not model.graph.node:
        raise PackageError(f"{path.name} is not an ONNX file: it has no graph", hint="Export the model again.")
    return model


def _data_files(model: Any) -> set[str]:
    import onnx

    external = (tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL)
    return {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"}


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
