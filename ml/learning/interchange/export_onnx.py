"""Export of a package as a folder of ONNX graphs that runs without Plinth.

```
{graph}.onnx                       the served graph or its faster variant; preceded by the trunk, if there is one
preprocessing.json                 encoding of inputs, arrays of graphs, decoding of outputs, for programs
README.md                          the same for people
run.py, preprocess/, postprocess/  predict like the service, with numpy and ONNX Runtime
runtime/                           modules of `ml` that these import
encoders/                          tokenizers, lists of items
task/                              histories of users, if the model stores them
parity.json                        comparison of each graph with its network
```
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import PackageError
from ml.learning.export.onnx import OPSET, export
from ml.learning.export.packaging import record_predictions, variable_axes
from ml.learning.export.torch_runner import load_network
from ml.learning.interchange.readme import render_readme
from ml.learning.interchange.standalone.run import FORMAT_VERSION
from ml.learning.interchange.standalone_code import copy_code, find_postprocessor, find_preprocessor
from ml.learning.training.unlabeled import Unlabeled
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ml.package.manifest import Graph
    from ml.tasks.base import Task

FORMAT: Final = "plinth-onnx"
PREPROCESSING: Final = "preprocessing.json"
PARITY: Final = "parity.json"
#: Inputs on which a graph of another opset is compared: batches of 1, 2, 5 and the rest.
EXAMPLES: Final = 9


def write_folder(
    package: ModelPackage, into: Path, *, opset: int | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Write the files into an empty folder and return the report.

    Raises `PackageError` if there is no graph.
    """
    manifest = package.manifest
    if not manifest.graphs:
        reason = manifest.no_graph_reason or "none was exported"
        raise PackageError(
            f"the model has no ONNX graph: {reason}", hint="Export the format huggingface, or download the package."
        )
    on_phase("writing")
    task = package.task()
    graphs = _copy_graphs(package, into) if opset is None else _export_graphs(package, task, into, opset)
    postprocessor = find_postprocessor(task.name if task else "embedding")
    metadata = _metadata(package, task, graphs, postprocessor.__name__.rpartition(".")[2], into)
    for name in [*metadata["inputs"], *metadata["targets"]]:
        shutil.copytree(package.file(f"encoders/{name}/encoder.json").parent, into / "encoders" / name)
    for name in package.task_files:
        (into / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(package.file(name), into / name)
    preprocessors = [find_preprocessor(encoder["encoder"]) for encoder in metadata["inputs"].values()]
    requirements = copy_code([module for module in preprocessors if module], postprocessor, into)
    _write_json(into / PREPROCESSING, metadata)
    _write_json(into / PARITY, {name: graph.model_dump(mode="json") for name, graph in graphs.items()})
    readme = render_readme(metadata, graphs, requirements, postprocessor)
    (into / "README.md").write_text(readme, encoding="utf-8")
    on_phase("checking")
    return {
        "format": "onnx",
        "opset": {name: graph.opset for name, graph in graphs.items()},
        "graphs": {name: graph.parity.model_dump() for name, graph in graphs.items() if graph.parity},
        "files": sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()),
        "notes": [],
    }


def _copy_graphs(package: ModelPackage, into: Path) -> Mapping[str, Graph]:
    for graph in package.manifest.graphs.values():
        for name in {*graph.files, *graph.served_files}:
            shutil.copyfile(package.file(name), into / name)
    return package.manifest.graphs


def _export_graphs(package: ModelPackage, task: Task | None, into: Path, opset: int) -> Mapping[str, Graph]:
    """Export the network again in `opset`, and compare the graphs with it on example inputs."""
    manifest = package.manifest
    if package.has_graphs_only:
        raise PackageError(
            "the model was imported as an ONNX graph, which cannot be exported in another opset",
            hint="Leave out opset.",
        )
    network, encoders = load_network(package), package.encoders()
    served = network if task else network.without_head()
    if task is not None:
        # What an earlier build stored may be of the graphs of that time.
        task.bind_widths(network.widths)
        rows = [task.read(task.example_input(), parameters={}) for _ in range(EXAMPLES)]
        inputs = Rows({name: [row[name] for row in rows] for name in rows[0]})
        calls = record_predictions(served, task, task, inputs, are_requests=True)
    else:
        from ml.wire import INPUT_OF

        examples = {
            slot: [INPUT_OF[encoder.name].make_example().raw()] * EXAMPLES for slot, encoder in encoders.items()
        }
        calls = record_predictions(served, None, Unlabeled(encoders), Rows(examples))
    architectures = {
        slot: Choice(name=architecture.name, config=architecture.config)
        for slot, architecture in manifest.architectures.items()
    }
    axes = variable_axes(architectures, encoders, task)
    exported = export(served, calls, into, variable_axes=axes, opset=opset)
    if not exported.graphs:
        raise PackageError(
            f"the model cannot be exported in opset {opset}: {exported.reason}", hint=f"Use opset {OPSET}."
        )
    return exported.graphs


def _metadata(
    package: ModelPackage, task: Task | None, graphs: Mapping[str, Graph], postprocessor: str, folder: Path
) -> dict[str, Any]:
    """Return the content of `preprocessing.json`."""
    encoders = {name: _describe_encoder(package, name, choice) for name, choice in package.manifest.encoders.items()}
    slots = set(task.slots) if task else set(encoders)
    task_info = None
    if task is not None:
        task_info = {"name": task.name, "config": task.config.model_dump(mode="json"), "state": task.state}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": task_info,
        "labels": package.manifest.labels,
        "graphs": {name: _describe_graph(folder, graph) for name, graph in graphs.items()},
        "inputs": {name: encoder for name, encoder in encoders.items() if name in slots},
        "targets": {name: encoder for name, encoder in encoders.items() if name not in slots},
        "default_parameters": _default_parameters(task),
        "postprocessor": postprocessor,
        "max_batch_size": 1 if any(graph.is_served_row_by_row for graph in graphs.values()) else None,
    }


def _describe_encoder(package: ModelPackage, name: str, choice: Choice) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(package.file(f"encoders/{name}/encoder.json").read_bytes())
    preprocessor = find_preprocessor(choice.name)
    description = " ".join((preprocessor.__doc__ or "").split()) if preprocessor else None
    return {
        "encoder": choice.name,
        "folder": f"encoders/{name}",
        "config": content["config"],
        "description": description,
    }


def _default_parameters(task: Task | None) -> dict[str, Any]:
    """Return the default values of the fields of an input."""
    fields = task.input_type.model_fields if task else {}
    return {name: field.default for name, field in fields.items() if isinstance(field.default, int | float | str)}


def _describe_graph(folder: Path, graph: Graph) -> dict[str, Any]:
    """Return files and arrays of a graph; an axis of any length has a name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        for name in graph.served_files
    ]

    def describe(tensors: Any) -> list[dict[str, Any]]:
        return [{"name": tensor.name, "type": tensor.type, "shape": tensor.shape} for tensor in tensors]

    return {
        "files": graph.served_files,
        "exact_files": graph.files,
        "opset": graph.opset,
        "inputs": describe(sessions[0].get_inputs()),
        "outputs": describe([tensor for session in sessions for tensor in session.get_outputs()]),
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
