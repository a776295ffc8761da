"""Import of an ONNX graph as a package without weights, served by ONNX Runtime alone.

The user, or a `config.json` beside the graph, names its task and labels. The adapter of the task
(`onnx_graphs.adapters`) checks its inputs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.config import Choice
from ml.encoders.base import collate_slots
from ml.errors import PackageError
from ml.inference.onnx_session import OnnxGraphs, Session
from ml.inference.onnx_weights import align_weights
from ml.learning.interchange.families import FAMILIES
from ml.learning.interchange.import_huggingface import UNSUPPORTED_PROBLEMS, read_labels
from ml.learning.interchange.onnx_graphs.adapters import ADAPTERS, CompanionFiles
from ml.learning.interchange.onnx_graphs.outputs import (
    LOGITS,
    are_probabilities,
    find_ending,
    set_logits,
    take_logarithm,
)
from ml.learning.interchange.onnx_graphs.untrusted import read_onnx
from ml.package.manifest import Graph, Manifest, Provenance
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml.encoders.base import Encoder
    from ml.learning.interchange.onnx_graphs.adapters import OnnxAdapter
    from ml.tasks.base import Task

#: Metadata keys of a file under which its labels are searched, as JSON: a list, or an object from code to name.
LABEL_KEYS: Final = ("labels", "classes", "names")
#: Largest difference of a row's logits alone and in a batch, relative to the largest logit: sums in another order.
MAX_BATCH_DIFFERENCE: Final = 1e-3
NO_COMPANIONS: Final = CompanionFiles()


def read_graph(
    source: Path,
    into: Path,
    *,
    task: str | None,
    labels: Sequence[str] | None,
    on_phase: Callable[[str], None],
    companions: CompanionFiles = NO_COMPANIONS,
) -> dict[str, Any]:
    """Write a package to `into` from an ONNX file; returns the report. Raises `PackageError`."""
    on_phase("reading")
    task_type, adapter = _detect_task(task, companions)
    model = read_onnx(source, data_folder=source.parent if companions.folder else None)
    names = _find_labels(model, labels, companions)
    encoder, notes = adapter.make_encoder(model, companions)
    notes += set_logits(model, classes=len(names))
    adapter.adapt_inputs(model)
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=into.parent) as scratch:
        path = Path(scratch) / f"{MODEL}.onnx"
        _write_graph(model, path)
        on_phase("checking")
        if are_probabilities(_check_graph(path, adapter, encoder, classes=len(names)), find_ending(model)):
            notes.append(take_logarithm(model))
            _write_graph(model, path)
            _check_graph(path, adapter, encoder, classes=len(names))
        manifest = _make_manifest(model, path, task_type, names)
        shutil.rmtree(into, ignore_errors=True)
        encoders = {adapter.slot: encoder}
        ModelPackage.create(into, manifest, files={path.name: path}, encoders=encoders, state={"labels": names})
    return {
        "format": "onnx",
        "task": task_type.name,
        "parameters": manifest.parameters,
        "labels": names,
        "notes": notes,
    }


def _write_graph(model: Any, path: Path) -> None:
    path.write_bytes(model.SerializeToString())
    align_weights(path)


def _detect_task(task: str | None, companions: CompanionFiles) -> tuple[type[Task], type[OnnxAdapter]]:
    """Return the requested task, or else that of `config.json`, with its adapter."""
    if (problem := companions.config.get("problem_type")) in UNSUPPORTED_PROBLEMS:
        raise PackageError(
            f"the problem_type of config.json is {problem}, and no task supports it",
            hint="Send a model that chooses one class.",
        )
    classes = [str(name) for name in companions.config.get("architectures") or []]
    suffixes = {suffix: task for family in FAMILIES.values() for suffix, task in family.tasks.items()}
    name = task or next((task for suffix, task in suffixes.items() for kind in classes if kind.endswith(suffix)), None)
    if name is not None and name in ADAPTERS:
        return TASKS[name], ADAPTERS[name]
    supported = ", ".join(ADAPTERS)
    if name is None:
        expected = " ".join(f"For {name}: {adapter.expected}" for name, adapter in ADAPTERS.items())
        raise PackageError(f"task is missing; an ONNX file can be for: {supported}", hint=expected)
    has_several_steps = len(TASKS[name].graphs) > 1 or MODEL not in TASKS[name].graphs
    reason = "runs graphs in several steps" if has_several_steps else "has no standard inputs and outputs in ONNX"
    raise PackageError(
        f"task is {name}, which {reason}; an ONNX file can be for: {supported}",
        hint="Send a zip of its Hugging Face folder, or of a package that was downloaded from Plinth.",
    )


def _find_labels(model: Any, labels: Sequence[str] | None, companions: CompanionFiles) -> list[str]:
    """Return the labels of the request, of `config.json`, or of the file's metadata."""
    names = [str(label) for label in labels or ()]
    names = names or read_labels(companions.config, use_default=False)[0] or _read_metadata_labels(model)
    if len(set(names)) != len(names) or len(names) < 2:
        raise PackageError(
            f"labels must be at least two different names, not {names or 'none'}",
            hint='Send labels in the order of the outputs: ["cat", "dog"].',
        )
    return names


def _read_metadata_labels(model: Any) -> list[str]:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    key = next((key for key in LABEL_KEYS if key in metadata), None)
    if key is None:
        raise PackageError(
            "the names of the classes are missing: the file has no metadata 'labels'",
            hint='Send labels in the order of the outputs: ["cat", "dog"].',
        )
    try:
        content = json.loads(metadata[key])
        names = [content[str(code)] for code in range(len(content))] if isinstance(content, dict) else list(content)
    except (ValueError, TypeError, KeyError) as error:
        raise PackageError(
            f"the metadata {key!r} of the file is not a JSON list of classes: {error}", hint="Send labels."
        ) from error
    return [str(name) for name in names]


def _make_manifest(model: Any, path: Path, task_type: type[Task], labels: list[str]) -> Manifest:
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    graph = Graph(file=path.name, opset=opset, inputs=list(task_type.graphs[MODEL]), outputs=[LOGITS], parity=None)
    return Manifest(
        task=Choice(name=task_type.name, config=task_type.config_type().model_dump(mode="json")),
        architectures={},
        labels=labels,
        parameters=sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
        graphs={MODEL: graph},
        source=Provenance(imported={"format": "onnx", "producer": model.producer_name or None}),
    )


def _check_graph(path: Path, adapter: type[OnnxAdapter], encoder: Encoder[Any], *, classes: int) -> np.ndarray:
    """Run the graph on one row and on a batch.

    Returns the logits of the batch, float32 [B, classes]. Raises `PackageError` if it is made for one size only, or if
    padding changes its logits.
    """
    run = OnnxGraphs({MODEL: [Session(path)]})
    examples = adapter.examples()
    outputs = []
    for rows in (examples[:1], examples):
        batch = collate_slots({adapter.slot: encoder}, {adapter.slot: encoder.encode(rows)})
        try:
            logits = run(MODEL, batch)[LOGITS]
        except Exception as error:  # the exceptions of ONNX Runtime have no public base class
            shape = " x ".join(map(str, batch[adapter.slot].shape))
            message = f"the graph fails on an input of {shape}: {str(error).splitlines()[0]}"
            raise PackageError(message, hint=adapter.expected) from error
        _check_logits(logits, (len(rows), classes), adapter.expected)
        outputs.append(logits)
    alone, batched = (logits[0] for logits in outputs)
    difference = float(np.abs(alone - batched).max())
    if difference > MAX_BATCH_DIFFERENCE * max(1.0, float(np.abs(alone).max())):
        raise PackageError(
            f"the logits of a row in a batch with longer rows differ from those of the row alone, by {difference:.3g}",
            hint="Export the model for inference (`model.eval()`), with an attention_mask that excludes padding.",
        )
    return outputs[-1]


def _check_logits(logits: np.ndarray, shape: tuple[int, int], expected: str) -> None:
    if logits.shape != shape:
        actual = " x ".join(map(str, logits.shape))
        raise PackageError(
            f"the graph returns {actual} numbers for {shape[0]} rows; {shape[1]} labels need {shape[0]} x {shape[1]}",
            hint=f"Send as many labels as the graph has outputs. {expected}",
        )
    if logits.dtype != np.float32 or not np.isfinite(logits).all():
        raise PackageError("the outputs of the graph are not finite float32 numbers", hint=expected)
