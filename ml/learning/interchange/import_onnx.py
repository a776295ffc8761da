"""A graph that was exported elsewhere becomes a package of nothing but that graph.

It is served by ONNX Runtime alone. What it cannot say itself, what it is for and what its classes are called, its owner
says, or a `config.json` that came with it; what its inputs must be, the task says (`graph_forms`).
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
from ml.learning.interchange.import_huggingface import OTHER_PROBLEMS, labels_of
from ml.learning.interchange.onnx_adapters import ADAPTERS, LOGITS, CompanionFiles, answer_with_logits
from ml.learning.interchange.untrusted_onnx import read
from ml.package.manifest import Graph, Manifest, Provenance
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml.encoders.base import Encoder
    from ml.learning.interchange.onnx_adapters import OnnxAdapter
    from ml.tasks.base import Task

LABELS: Final = ("labels", "classes", "names")
"""Under which names in a file's metadata its classes are found, as JSON: a list, or an object from number to name."""
ALIKE: Final = 1e-3
"""Of one row's answers, alone and beside others: the same sums in another order, in whatever precision it was made."""
ALONE: Final = CompanionFiles()


def read_graph(
    source: Path,
    into: Path,
    *,
    task: str | None,
    labels: Sequence[str] | None,
    on_phase: Callable[[str], None],
    beside: CompanionFiles = ALONE,
) -> dict[str, Any]:
    """Make a package `into` of an ONNX file; returns the report. Raises `PackageError` with what was expected."""
    on_phase("reading")
    kind, form = _purpose(task, beside)
    model = read(source)
    names = [str(label) for label in labels or ()] or labels_of(beside.config, usual=False) or _labels(model)
    if len(set(names)) != len(names) or len(names) < 2:
        raise PackageError(f"the labels must be at least two, and all different; there are {names or 'none'}")
    if (problem := beside.config.get("problem_type")) in OTHER_PROBLEMS:
        raise PackageError(f"config.json says that it is for {problem}, which is no choice of one class")
    encoder, notes = form.encoder(model, beside)
    notes += answer_with_logits(model, classes=len(names))
    form.connect(model)
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=into.parent) as scratch:
        path = Path(scratch) / f"{MODEL}.onnx"
        path.write_bytes(model.SerializeToString())
        align_weights(path)
        on_phase("checking")
        _try(path, form, encoder, classes=len(names))
        opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
        reads = list(kind.graphs[MODEL])
        manifest = Manifest(
            task=Choice(name=kind.name, config=kind.config_type().model_dump(mode="json")),
            architectures={},
            labels=names,
            parameters=sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer),
            graphs={MODEL: Graph(file=path.name, opset=opset, inputs=reads, outputs=[LOGITS], parity=None)},
            source=Provenance(imported={"format": "onnx", "producer": model.producer_name or None}),
        )
        shutil.rmtree(into, ignore_errors=True)
        encoders = {form.slot: encoder}
        ModelPackage.create(into, manifest, files={path.name: path}, encoders=encoders, state={"labels": names})
    return {"format": "onnx", "task": kind.name, "parameters": manifest.parameters, "labels": names, "notes": notes}


def _purpose(task: str | None, beside: CompanionFiles) -> tuple[type[Task], type[OnnxAdapter]]:
    """The task that was said or that `config.json` tells, and how its graphs are to read."""
    said = [str(kind) for kind in beside.config.get("architectures") or []]
    ends = {end: task for family in FAMILIES.values() for end, task in family.tasks.items()}
    name = task or next((task for end, task in ends.items() for kind in said if kind.endswith(end)), None)
    if name is not None and name in ADAPTERS:
        return TASKS[name], ADAPTERS[name]
    known = " ".join(f"For {name}: {form.expected}" for name, form in ADAPTERS.items())
    if name is None:
        raise PackageError(f"nothing says what it is for; an ONNX file can be for: {', '.join(ADAPTERS)}", hint=known)
    several = len(TASKS[name].graphs) > 1 or MODEL not in TASKS[name].graphs
    why = "answers in several steps" if several else "reads or answers what no two exporters agree upon"
    raise PackageError(
        f"task is {name}, which {why}; an ONNX file can be for: {', '.join(ADAPTERS)}",
        hint="Send a zip of a Hugging Face folder where it has one, or of a package that was downloaded here.",
    )


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


def _try(path: Path, form: type[OnnxAdapter], encoder: Encoder[Any], *, classes: int) -> None:
    """Alone and beside others: a size that was baked in shows at once, and so does padding that is not left out."""
    run = OnnxGraphs({MODEL: [Session(path)]})
    values = form.values()
    found = []
    for rows in (values[:1], values):
        batch = collate_slots({form.slot: encoder}, {form.slot: encoder.encode(rows)})
        try:
            answer = run(MODEL, batch)[LOGITS]
        except Exception as error:  # the runtime's exceptions have no common base that is public
            shape = " x ".join(map(str, batch[form.slot].shape))
            told = str(error).splitlines()[0]
            raise PackageError(f"the graph cannot be run over {shape} numbers: {told}", hint=form.expected) from error
        if answer.shape != (len(rows), classes):
            shape = " x ".join(map(str, answer.shape))
            wanted = f"{classes} labels want {len(rows)} x {classes}"
            raise PackageError(
                f"the graph answers {len(rows)} rows with {shape} numbers; {wanted}",
                hint=f"Give as many labels as the graph has outputs. {form.expected}",
            )
        if answer.dtype != np.float32 or not np.isfinite(answer).all():
            raise PackageError("the graph's answers are no finite float32 numbers", hint=form.expected)
        found.append(answer[0])
    alone, beside = found
    difference = float(np.abs(alone - beside).max())
    if difference > ALIKE * max(1.0, float(np.abs(alone).max())):
        raise PackageError(
            f"the graph answers one row otherwise beside longer ones than alone, by {difference:.3g}",
            hint="Export it for inference (`model.eval()`), with an attention_mask that it heeds.",
        )
