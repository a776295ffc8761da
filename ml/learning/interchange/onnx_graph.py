"""A graph that was exported elsewhere becomes a package of nothing but that graph.

It is served by ONNX Runtime alone. What it cannot say itself, what it is for and what its classes are called, its owner
says; how large its pictures are, it declares.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ml.encoders.image import ImageConfig, ImageEncoder
from ml.errors import PackageError
from ml.graph_file import lay_out
from ml.learning.interchange.graphs import read
from ml.package import Graph, Manifest, ModelPackage, Source
from ml.sessions import Graphs, Session
from ml.spec import Choice
from ml.tasks import TASKS
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMAGE: Final = "image"
LOGITS: Final = "logits"
TRIED_WITH: Final = (1, 3)
"""Rows at a time; a size that was baked in shows at once."""
LABELS: Final = ("labels", "classes", "names")
"""Under which names in a file's metadata its classes are found, as JSON: a list, or an object from number to name."""
EXPECTED: Final = (
    "Expected is one input, float32 [batch, 1 or 3 channels, height, width] of pixels in 0..1, with a free batch and "
    "fixed sizes, and one output, float32 [batch, classes]."
)


def read_graph(
    source: Path,
    into: Path,
    *,
    task: str | None,
    labels: Sequence[str] | None,
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    """Make a package `into` of an ONNX file; returns the report. Raises `PackageError` with what was expected."""
    on_phase("reading")
    kind = TASKS[_purpose(task)]
    model = read(source)
    names = [str(label) for label in labels] if labels else _labels(model)
    if len(set(names)) != len(names) or len(names) < 2:
        raise PackageError(f"the labels must be at least two, and all different; there are {names or 'none'}")
    config = _picture(model)
    notes = _rename(model)
    encoders = {IMAGE: ImageEncoder(config)}
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=into.parent) as scratch:
        path = Path(scratch) / f"{MODEL}.onnx"
        path.write_bytes(model.SerializeToString())
        lay_out(path)
        on_phase("checking")
        _try(path, config, classes=len(names))
        opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
        manifest = Manifest(
            task=Choice(name=kind.name, config=kind.config_type().model_dump(mode="json")),
            architectures={},
            labels=names,
            parameters=sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
            graphs={MODEL: Graph(file=path.name, opset=opset, inputs=[IMAGE], outputs=[LOGITS], parity=None)},
            source=Source(imported={"format": "onnx", "producer": model.producer_name or None}),
        )
        shutil.rmtree(into, ignore_errors=True)
        ModelPackage.create(into, manifest, files={path.name: path}, encoders=encoders, state={"labels": names})
    return {"format": "onnx", "task": kind.name, "parameters": manifest.parameters, "labels": names, "notes": notes}


def _purpose(task: str | None) -> str:
    """A task whose input and output can be told from the shapes of a graph."""
    known = [name for name, kind in TASKS.items() if kind.encoders == {IMAGE: IMAGE} and kind.head == "classifier"]
    if task not in known:
        found = f"task is {task}" if task else "nothing says what it is for"
        raise PackageError(f"{found}; an ONNX file can be for: {', '.join(known)}", hint=f"Give task. {EXPECTED}")
    assert task is not None, "it is among the known"
    return task


def _labels(model: Any) -> list[str]:
    told = {entry.key: entry.value for entry in model.metadata_props}
    for name in LABELS:
        if name in told:
            try:
                listed = json.loads(told[name])
                found = [listed[str(code)] for code in range(len(listed))] if isinstance(listed, dict) else list(listed)
            except (ValueError, TypeError, KeyError) as error:
                raise PackageError(f"the file's metadata {name!r} is not a list of classes as JSON: {error}") from error
            return [str(each) for each in found]
    raise PackageError(
        "nothing says what the classes are called: the file has no metadata 'labels'",
        hint='Give labels, in the order of the outputs: ["cat", "dog"].',
    )


def _picture(model: Any) -> ImageConfig:
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in known]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        shown = f"{_listed(inputs)} in, {_listed(model.graph.output)} out"
        raise PackageError(f"the graph has another form: {shown}", hint=EXPECTED)
    kind = inputs[0].type.tensor_type
    sizes = [each.dim_value for each in kind.shape.dim]
    fits = kind.elem_type == 1 and len(sizes) == 4 and not sizes[0] and sizes[1] in (1, 3) and all(sizes[1:])
    if not fits:
        raise PackageError(f"the graph's input has another form: {_listed(inputs)}", hint=EXPECTED)
    try:
        return ImageConfig(channels=sizes[1], height=sizes[2], width=sizes[3])
    except ValueError as error:
        raise PackageError(f"the graph's input is too large: {_listed(inputs)}", hint=EXPECTED) from error


def _rename(model: Any) -> list[str]:
    """Give input and output the names that the task knows. A last softmax is left out: what it is given, we want."""
    known = {tensor.name for tensor in model.graph.initializer}
    [given] = [each for each in model.graph.input if each.name not in known]
    [answer] = model.graph.output
    notes = []
    last = next((node for node in model.graph.node if answer.name in node.output), None)
    if last is not None and last.op_type == "Softmax":
        model.graph.node.remove(last)
        answer.name = last.input[0]
        notes.append("its last softmax is left out, for confidences are computed from what goes into it")
    new = {given.name: IMAGE, answer.name: LOGITS}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)} - new.keys()
    new |= {name: f"{name}_of_the_graph" for name in (IMAGE, LOGITS) if name in taken}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for tensor in (*model.graph.initializer, *model.graph.value_info):
        tensor.name = new.get(tensor.name, tensor.name)
    given.name, answer.name = IMAGE, LOGITS
    return notes


def _try(path: Path, config: ImageConfig, *, classes: int) -> None:
    run = Graphs({MODEL: [Session(path)]})
    for rows in TRIED_WITH:
        pixels = np.random.default_rng(0).random((rows, config.channels, config.height, config.width), np.float32)
        try:
            answer = run(MODEL, {IMAGE: pixels})[LOGITS]
        except Exception as error:  # the runtime's exceptions have no common base that is public
            raise PackageError(f"the graph cannot be run: {str(error).splitlines()[0]}", hint=EXPECTED) from error
        if answer.shape != (rows, classes):
            found = " x ".join(map(str, answer.shape))
            raise PackageError(
                f"the graph answers {rows} pictures with {found} numbers; {classes} labels want {rows} x {classes}",
                hint=f"Give as many labels as the graph has outputs. {EXPECTED}",
            )
        if answer.dtype != np.float32 or not np.isfinite(answer).all():
            raise PackageError("the graph's answers are no finite float32 numbers", hint=EXPECTED)


def _listed(values: Any) -> str:
    shown = []
    for value in values:
        dims = value.type.tensor_type.shape.dim
        shown.append(f"{value.name} [{', '.join(str(each.dim_value or each.dim_param or '?') for each in dims)}]")
    return ", ".join(shown) or "nothing"
