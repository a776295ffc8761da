"""From a finished network to a package: its weights, graphs that were found to say the same, and what it is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.torch import save_file

from ml.config import Choice
from ml.data.rows import Rows
from ml.errors import InputError
from ml.learning.export.graph_selection import with_variants
from ml.learning.export.onnx import batch_sizes, can_have_trunk, export, record
from ml.package.manifest import Manifest, Provenance
from ml.package.package import ADAPTER, WEIGHTS, ModelPackage
from ml.tasks.base import MODEL, embedding_graphs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import Tensor

    from ml.data.rows import Row
    from ml.encoders.base import Encoder
    from ml.learning.export.onnx import Calls
    from ml.learning.nn.network import Network
    from ml.learning.training.unlabeled import Unlabeled
    from ml.signals import Run
    from ml.tasks.base import Task

PARITY_ROWS = 256


def pack(
    network: Network,
    into: Path,
    *,
    architectures: Mapping[str, Choice],
    encoders: Mapping[str, Encoder[Any]],
    task: Task | None,
    head: Choice | None,
    reader: Task | Unlabeled,
    rows: Rows,
    objective: Choice | None = None,
    metrics: Mapping[str, float] | None = None,
    source: Provenance | None = None,
    adapter: Mapping[str, Tensor] | None = None,
    frozen: bool = False,
) -> ModelPackage:
    """Write the package `into`, in place of one that is there. Without a task it is a base model.

    `adapter` is what was learned beside weights that stayed as they were: they go into a file of their own.
    `frozen` says that all of the backbone did: where it can, it gets a graph of its own, which other fine-tunes share.
    The graphs are asked about `rows`, which were best not trained on, as `reader` reads them.
    """
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=into.parent) as scratch:
        folder = Path(scratch)
        save_file({name: each.cpu().contiguous() for name, each in network.state_dict().items()}, folder / WEIGHTS)
        if adapter:
            save_file({name: each.cpu().contiguous() for name, each in adapter.items()}, folder / ADAPTER)
        served = network if task else network.without_head()
        calls = calls_of(served, task, reader, rows[:PARITY_ROWS])
        axes = variable_axes(architectures, encoders, task)
        has_trunk = frozen and list(calls) == [MODEL] and can_have_trunk(served)
        exported = export(served, calls, folder, variable_axes=axes, has_trunk=has_trunk)
        graphs = with_variants(exported.graphs, folder, task=task, rows=rows) if task else exported.graphs
        manifest = Manifest(
            task=Choice(name=task.name, config=task.config.model_dump(mode="json")) if task else None,
            architectures=dict(architectures),
            head=head if network.head is not None else None,
            objective=objective,
            labels=list(getattr(task, "labels", [])) or None,
            parameters=sum(each.numel() for each in network.parameters()),
            metrics={name: each if np.isfinite(each) else None for name, each in (metrics or {}).items()},
            graphs=graphs,
            no_graph_reason=exported.reason,
            source=source or Provenance(),
        )
        shutil.rmtree(into, ignore_errors=True)
        files = {path.name: path for path in folder.iterdir()}
        state = task.state if task else None
        return ModelPackage.create(into, manifest, files=files, encoders=encoders, state=state)


def as_requests(task: Task, rows: Rows) -> list[Row]:
    """The rows as requests bring them, less those that none may hold, such as letters that nobody was heard to say."""
    found = []
    for row in rows:
        try:
            found.append(task.read(task.show(row)[0], parameters={}))
        except InputError:
            continue
    return found


def calls_of(network: Network, task: Task | None, reader: Task | Unlabeled, rows: Rows, *, read: bool = False) -> Calls:
    """What the graphs are asked about these rows, by the very way that a request takes; `read` rows are asked ones."""
    if task is None:
        graphs = embedding_graphs(network.backbones)

        def embed(run: Run) -> None:
            for start, end in batch_sizes(len(rows)):
                batch = reader.collate(reader.encode(rows[start:end]))
                for graph in graphs:
                    run(graph, batch)

        return record(network, graphs, embed)

    def answer(run: Run) -> None:
        asked = list(rows) if read else as_requests(task, rows)
        for start, end in batch_sizes(len(asked)):
            columns = {name: [row[name] for row in asked[start:end]] for name in asked[0]}
            task.answer(run, task.collate(task.encode(Rows(columns))))

    return record(network, task.graphs, answer)


def variable_axes(
    architectures: Mapping[str, Choice], encoders: Mapping[str, Encoder[Any]], task: Task | None
) -> dict[str, tuple[int, ...]]:
    """By array the axes beside the batch that have any length, as far as its signal and the task say."""
    signals = {slot: encoders[slot].signal for slot in architectures}
    axes = {name: signal.variable_axes for slot, signal in signals.items() for name in (slot, f"{slot}_mask")}
    return {**axes, **(task.variable_axes if task else {})}
