"""A package becomes a folder of graphs that anybody can run: ONNX Runtime, what the inputs look like, and an example.

```
{graph}.onnx           what is served: the graph, or its faster variant; with a trunk, which is run before it
preprocessing.json     how raw inputs become arrays and outputs answers, for programs
README.md              the same for people
run.py, readers/, answers/    answer as the service does, by numpy and ONNX Runtime
encoders/, task/       tokenizers, lists of items, labels
parity.json            how each graph compares with the network it was made of
```
"""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Final

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import PackageError
from ml.learning.export.onnx import OPSET, export
from ml.learning.export.packaging import calls_of, variable_axes
from ml.learning.export.torch_runner import network_of
from ml.learning.interchange import standalone
from ml.learning.interchange.readme import readme
from ml.learning.interchange.standalone import run
from ml.learning.training.unlabeled import Unlabeled
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from ml.package.manifest import Graph
    from ml.tasks.base import Task

STANDALONE: Final = Path(standalone.__file__).parent
PREPROCESSING: Final = "preprocessing.json"
PARITY: Final = "parity.json"
OURS: Final = re.compile(r"from ml(?:\.\w+)*\.(\w+) import")
"""What is copied lies side by side."""
EXAMPLES: Final = 9
"""Inputs that a graph of another opset is compared on: batches of 1, 2, 5 and what is left."""


def write_folder(
    package: ModelPackage, into: Path, *, opset: int | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Write the folder, which must be empty, and try it; returns the report. Raises `PackageError` without a graph."""
    manifest = package.manifest
    if not manifest.graphs:
        raise PackageError(f"the model has no ONNX graph: {manifest.no_graph_reason or 'none was made'}")
    on_phase("writing")
    task = package.task()
    graphs = _copied(package, into) if opset is None else _written_again(package, task, into, opset)
    answers = _answers(task)
    told = _told(package, task, graphs, answers.__name__.rpartition(".")[2], into)
    for name in [*told["inputs"], *told["targets"]]:
        shutil.copytree(package.file(f"encoders/{name}/encoder.json").parent, into / "encoders" / name)
    needs = _copy_code(told, answers, into)
    _write(into / PREPROCESSING, told)
    _write(into / PARITY, {name: graph.model_dump(mode="json") for name, graph in graphs.items()})
    (into / "README.md").write_text(readme(told, graphs, needs, answers), encoding="utf-8")
    on_phase("checking")
    return {
        "format": "onnx",
        "opset": {name: graph.opset for name, graph in graphs.items()},
        "graphs": {name: graph.parity.model_dump() for name, graph in graphs.items() if graph.parity},
        "files": sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()),
        "notes": [],
    }


def _copied(package: ModelPackage, into: Path) -> Mapping[str, Graph]:
    for graph in package.manifest.graphs.values():
        for name in {*graph.files, *graph.served_files}:
            shutil.copyfile(package.file(name), into / name)
    return package.manifest.graphs


def _written_again(package: ModelPackage, task: Task | None, into: Path, opset: int) -> Mapping[str, Graph]:
    """By the exporter, from the weights; compared with the network on drawn inputs."""
    manifest = package.manifest
    if package.has_graphs_only:
        raise PackageError(
            "the model came in as a graph, and cannot be written in another opset", hint="Leave opset out."
        )
    network, encoders = network_of(package), package.encoders()
    served = network if task else network.without_head()
    if task is not None:
        rows = [task.read(task.example()[0], parameters={}) for _ in range(EXAMPLES)]
        asked = Rows({name: [row[name] for row in rows] for name in rows[0]})
        calls = calls_of(served, task, task, asked, read=True)
    else:
        from ml.wire import INPUT_OF

        drawn = {slot: [INPUT_OF[encoder.name].make_example().raw()] * EXAMPLES for slot, encoder in encoders.items()}
        calls = calls_of(served, None, Unlabeled(encoders), Rows(drawn))
    chosen = {slot: Choice(name=each.name, config=each.config) for slot, each in manifest.architectures.items()}
    made = export(served, calls, into, variable_axes=variable_axes(chosen, encoders, task), opset=opset)
    if not made.graphs:
        raise PackageError(f"the graph cannot be written in opset {opset}: {made.reason}", hint=f"Leave it at {OPSET}.")
    return made.graphs


def _told(
    package: ModelPackage, task: Task | None, graphs: Mapping[str, Graph], answers: str, folder: Path
) -> dict[str, Any]:
    """What `preprocessing.json` holds."""
    manifest = package.manifest
    about = {"name": task.name, "config": task.config.model_dump(mode="json"), "state": task.state} if task else None
    encoders = {
        name: {"reader": choice.name, "folder": f"encoders/{name}", **_config(package, name), "how": _how(choice.name)}
        for name, choice in manifest.encoders.items()
    }
    slots = set(task.slots) if task else set(encoders)
    alone = any(graph.is_served_row_by_row for graph in graphs.values())
    return {
        "format": "plinth-onnx-1",
        "task": about,
        "labels": manifest.labels,
        "graphs": {name: _graph(folder, graph) for name, graph in graphs.items()},
        "inputs": {name: each for name, each in encoders.items() if name in slots},
        "targets": {name: {"config": each} for name, each in encoders.items() if name not in slots},
        "parameters": _parameters(task),
        "answers": answers,
        "rows_a_call": 1 if alone else None,
    }


def _config(package: ModelPackage, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(package.file(f"encoders/{name}/encoder.json").read_bytes())["config"]
    return content


def _parameters(task: Task | None) -> dict[str, Any]:
    """What an input says where it says nothing."""
    fields = task.input_type.model_fields if task else {}
    return {name: each.default for name, each in fields.items() if isinstance(each.default, int | float | str)}


def _graph(folder: Path, graph: Graph) -> dict[str, Any]:
    """Its arrays with their types and shapes; an axis of any length has a name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        for name in graph.served_files
    ]

    def listed(arrays: Any) -> list[dict[str, Any]]:
        return [{"name": each.name, "type": each.type, "shape": each.shape} for each in arrays]

    return {
        "files": graph.served_files,
        "exact_files": graph.files,
        "opset": graph.opset,
        "inputs": listed(sessions[0].get_inputs()),
        "outputs": listed([each for session in sessions for each in session.get_outputs()]),
    }


def _module(kind: str, name: str) -> ModuleType:
    return import_module(f"{standalone.__name__}.{kind}.{name}")


def _how(encoder: str) -> str | None:
    """What its reader says of itself, on one line."""
    known = {each.name for each in iter_modules([str(STANDALONE / "readers")])}
    return " ".join((_module("readers", encoder).__doc__ or "").split()) if encoder in known else None


def _answers(task: Task | None) -> ModuleType:
    """The code that answers as the task does."""
    wanted = task.name if task else "embedding"
    every = (_module("answers", each.name) for each in iter_modules([str(STANDALONE / "answers")]))
    return next(each for each in every if wanted in each.TASKS)


def _copy_code(told: Mapping[str, Any], answers: ModuleType, into: Path) -> list[str]:
    """The packages that the copied code needs."""
    readers = [_module("readers", each["reader"]) for each in told["inputs"].values() if each["how"]]
    needs = ["onnxruntime", "numpy", *(module.NEEDS for module in readers), getattr(answers, "NEEDS", "")]
    beside = [import_module(name) for name in (*run.WITH, *getattr(answers, "WITH", ()))]
    places = [(run, into)]
    places += [(reader, into / "readers") for reader in readers]
    places += [(each, into / "answers") for each in (answers, *beside)]
    for module, folder in places:
        source = Path(module.__file__ or "")
        folder.mkdir(exist_ok=True)
        code = OURS.sub(r"from answers.\1 import", source.read_text(encoding="utf-8"))
        (folder / source.name).write_text(code, encoding="utf-8")
    return sorted({each for each in needs if each}, key=needs.index)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
