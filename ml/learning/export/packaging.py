"""Packaging of a trained network: its weights, graphs with equal outputs, and a manifest."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from safetensors.torch import save_file

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import InputError
from ml.learning.export.graph_selection import add_variants
from ml.learning.export.onnx import batch_bounds, can_have_trunk, export, record_calls
from ml.package.manifest import Manifest, Provenance
from ml.package.package import ADAPTER, TASK_FOLDER, WEIGHTS, ModelPackage
from ml.package.training_trace import TRACE
from ml.tasks.base import MODEL, embedding_graphs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor

    from ml.data.rows import Row
    from ml.encoders.base import Encoder
    from ml.learning.export.onnx import RecordedCalls
    from ml.learning.nn.network import Network
    from ml.package.training_trace import TrainingTrace
    from ml.signals import Run
    from ml.tasks.base import BatchAdapter, Task

#: Rows that graphs are compared on.
PARITY_ROWS: Final = 256


def pack(
    network: Network,
    into: Path,
    *,
    architectures: Mapping[str, Choice],
    encoders: Mapping[str, Encoder[Any]],
    task: Task | None,
    head: Choice | None,
    reader: BatchAdapter,
    rows: Rows,
    objective: Choice | None = None,
    metrics: Mapping[str, float] | None = None,
    source: Provenance | None = None,
    adapter: Mapping[str, Tensor] | None = None,
    has_frozen_backbone: bool = False,
    trace: TrainingTrace | None = None,
    parts: Mapping[str, Path] | None = None,
) -> ModelPackage:
    """Write a package, replacing an existing one; without a task it is a base model.

    Args:
        network: The trained network.
        into: Folder of the package.
        architectures: Architectures by slot.
        encoders: Encoders by slot or target.
        task: The trained task.
        head: Head of the network.
        reader: Encodes and collates `rows`.
        rows: Rows to compare graphs on, preferably not trained on.
        objective: Training objective.
        metrics: Metrics for the manifest.
        source: Origin of the model.
        adapter: Weights that were trained if the others were frozen; they also get a file of their own.
        has_frozen_backbone: Whether the backbone is that of the base. If possible it gets a graph of its own, which
            fine-tuned models of the base share.
        trace: Digests of the weights during training.
        parts: Folders to move into the package, by path there.
    """
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=into.parent) as scratch:
        folder = Path(scratch)
        save_file({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
        if adapter:
            save_file({name: tensor.cpu().contiguous() for name, tensor in adapter.items()}, folder / ADAPTER)
        if trace:
            (folder / TRACE).write_text(trace.model_dump_json() + "\n", encoding="utf-8")
        if task:
            (folder / TASK_FOLDER).mkdir()
            task.save_files(folder / TASK_FOLDER)
        served = network if task else network.without_head()
        calls = record_predictions(served, task, reader, rows[:PARITY_ROWS])
        axes = variable_axes(architectures, encoders, task)
        has_trunk = has_frozen_backbone and list(calls) == [MODEL] and can_have_trunk(served)
        exported = export(served, calls, folder, variable_axes=axes, has_trunk=has_trunk)
        graphs = add_variants(exported.graphs, folder, task=task, rows=rows) if task else exported.graphs
        manifest = Manifest(
            task=Choice(name=task.name, config=task.config.model_dump(mode="json")) if task else None,
            architectures=dict(architectures),
            head=head if network.head is not None else None,
            objective=objective,
            labels=(list(task.labels) or None) if task else None,
            parameters=sum(weight.numel() for weight in network.parameters()),
            metrics={name: value if np.isfinite(value) else None for name, value in (metrics or {}).items()},
            graphs=graphs,
            no_graph_reason=exported.reason,
            source=source or Provenance(),
        )
        shutil.rmtree(into, ignore_errors=True)
        files = {path.name: path for path in folder.iterdir()} | dict(parts or {})
        state = task.state if task else None
        return ModelPackage.create(into, manifest, files=files, encoders=encoders, state=state)


def to_requests(task: Task, rows: Rows) -> list[Row]:
    """Convert rows to requests, except those that no request may hold.

    Such rows have characters that occur in no audio clip of the training data, for instance.
    """
    requests = []
    for row in rows:
        try:
            requests.append(task.read(task.request_of(row), parameters={}))
        except InputError:
            continue
    return requests


def record_predictions(
    network: Network, task: Task | None, reader: BatchAdapter, rows: Rows, *, are_requests: bool = False
) -> RecordedCalls:
    """Record the calls of the graphs when the rows are predicted like requests.

    `are_requests` says that the rows come from requests, and need no conversion.
    """
    if task is None:
        graphs = embedding_graphs(network.backbones)

        def embed(run: Run) -> None:
            for start, end in batch_bounds(len(rows)):
                batch = reader.collate(reader.encode(rows[start:end]))
                for graph in graphs:
                    run(graph, batch)

        return record_calls(network, graphs, embed)

    def predict(run: Run) -> None:
        requests = list(rows) if are_requests else to_requests(task, rows)
        for start, end in batch_bounds(len(requests)):
            columns = {name: [row[name] for row in requests[start:end]] for name in requests[0]}
            task.predict(run, task.collate(task.encode(Rows(columns))))

    return record_calls(network, task.graph_inputs(), predict)


def variable_axes(
    architectures: Mapping[str, Choice], encoders: Mapping[str, Encoder[Any]], task: Task | None
) -> dict[str, tuple[int, ...]]:
    """Return by array the axes, other than the batch, that have any length.

    They are those of its signal and of the task.
    """
    signals = {slot: encoders[slot].signal for slot in architectures}
    axes = {name: signal.variable_axes for slot, signal in signals.items() for name in (slot, f"{slot}_mask")}
    return {**axes, **(task.graph_axes() if task else {})}
