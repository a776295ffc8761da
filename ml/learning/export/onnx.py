"""A network as ONNX graphs, and the proof that both say the same."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ml.inference.onnx_session import OnnxGraphs, Session
from ml.inference.onnx_weights import align_weights
from ml.inference.predictor import EMBEDDING
from ml.package.manifest import Graph, Parity
from ml.signals import Feature
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.signals import Arrays, Run

OPSET = 18
TOLERANCE = 1e-3
"""Of the largest value of an output: far above what float32 loses by adding in another order, far below a mistake."""
SIZES = (1, 2, 5, 64)
"""Batches that parity is tried with, over and over; a size that was baked in shows at once."""
LARGEST_EXAMPLE = 8
"""Rows of the batch that is traced."""
TRUNK = "trunk.onnx"
PLAIN_ROWS, PLAIN_LENGTH = 2, 8
"""Of the call that a trunk is traced with; a length that every encoder of texts keeps."""
MOST_CALLS = 48
"""Of each graph: a loop over many rows makes far more than parity needs."""


Calls = dict[str, list["Tensors"]]
"""Graph -> what it was asked, call by call."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The graphs on disk by name, or the reason why there is none."""

    graphs: dict[str, Graph]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What is read and given, and which axes of each have any length."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]


def record(network: Network, graphs: Mapping[str, Sequence[str]], ask: Callable[[Run], object]) -> Calls:
    """What each graph is asked while `ask` is answered by torch: a loop's later steps are known only then."""
    calls: Calls = {graph: [] for graph in graphs}

    def run(graph: str, batch: Arrays) -> Arrays:
        read = {name: torch.from_numpy(np.asarray(batch[name])) for name in graphs[graph] if name in batch}
        if len(calls[graph]) < MOST_CALLS:
            calls[graph].append(read)
        with torch.no_grad():
            return {name: each.numpy() for name, each in network.infer(read).items()}

    network.eval().to("cpu")
    ask(run)
    return calls


def export(
    network: Network,
    calls: Calls,
    folder: Path,
    *,
    variable_axes: Mapping[str, Sequence[int]],
    has_trunk: bool = False,
    opset: int = OPSET,
) -> ExportResult:
    """Write `network.infer` as one graph for each of `calls`, on which parity is measured: all of them, or none.

    `variable_axes` says by array which axes beside the batch have any length; those that differ among the calls do.
    With `has_trunk`, a network that `can_have_trunk` is written in two files.
    """
    network.eval().to("cpu")
    graphs = {}
    for name, asked in calls.items():
        path = folder / f"{name}.onnx"
        if has_trunk:
            graph, reason = _export_in_two(network, asked, path, variable_axes)
        else:
            # A base model is what the trunks of its fine-tunes will be.
            example = None if network.head is not None else plain(asked, variable_axes)
            graph, reason = _export_one(network, asked, path, variable_axes, example=example, opset=opset)
        if graph is None:
            for path in folder.glob("*.onnx"):
                path.unlink()
            return ExportResult({}, reason=reason if len(calls) == 1 else f"{name}: {reason}")
        graphs[name] = graph
    return ExportResult(graphs)


def can_have_trunk(network: Network) -> bool:
    """Whether all that the head reads is the `embedding` of one backbone, which a file of its own can give."""
    head = network.head
    return head is not None and len(network.backbones) == 1 and head.needs == {Feature.POOLED} and not head.condition


def _export_in_two(
    network: Network, calls: Sequence[Tensors], path: Path, variable_axes: Mapping[str, Sequence[int]]
) -> tuple[Graph | None, str]:
    """The backbone as the graph of a base model would be, so that nothing of this very fine-tune is in it; the head."""
    trunk, head = network.without_head(), _Head(network)
    first, reason = _export_one(trunk, calls, path.with_name(TRUNK), variable_axes, example=plain(calls, variable_axes))
    if first is None:
        return None, f"trunk: {reason}"
    with torch.no_grad():
        read = [{EMBEDDING: trunk.infer(call)[EMBEDDING]} for call in calls]
    second, reason = _export_one(head, read, path, {})
    if second is None:
        return None, f"head: {reason}"
    shapes = _shapes(network, calls, variable_axes)
    parity = measure_parity(network, calls, [path.with_name(TRUNK), path], outputs=shapes.outputs)
    if not holds(parity):
        return None, f"in two files: differs by {parity.max_abs_difference:g}, {parity.labels_changed} labels changed"
    inputs, outputs = list(shapes.inputs), list(shapes.outputs)
    changes = {"trunk": TRUNK, "inputs": inputs, "outputs": outputs, "parity": parity, "exporter": first.exporter}
    return second.model_copy(update=changes), ""


def plain(calls: Sequence[Tensors], variable_axes: Mapping[str, Sequence[int]]) -> Tensors:
    """A call in which nothing is left of the rows that were asked about: what is traced with it is always the same."""
    found = {}
    for name, each in calls[0].items():
        free = variable_axes.get(name, ())
        shape = [PLAIN_LENGTH if axis in free else length for axis, length in enumerate(each.shape)]
        found[name] = torch.ones([PLAIN_ROWS, *shape[1:]], dtype=each.dtype)
    return found


def _export_one(
    network: Network | _Head,
    calls: Sequence[Tensors],
    path: Path,
    variable_axes: Mapping[str, Sequence[int]],
    *,
    example: Tensors | None = None,
    opset: int = OPSET,
) -> tuple[Graph | None, str]:
    """The TorchScript exporter goes first: for a small network it takes 0.2 s where the newer one takes 3.5 s.

    What it cannot trace, or traces wrongly, the newer one gets to try. One of the calls is traced, unless there is an
    `example`: then nothing in the graph depends on them.
    """
    shapes = _shapes(network, calls if example is None else [example], variable_axes)
    example = example or max(calls, key=_exemplary)
    reasons = []
    for name, write in (("torchscript", _by_torchscript), ("dynamo", _by_dynamo)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                write(_Graph(network, shapes.inputs, shapes.outputs).eval(), example, path, shapes, opset)
            align_weights(path)
            parity = measure_parity(network, calls, [path], outputs=shapes.outputs)
        except Exception as error:  # exporters fail in ways of their own; without a graph torch serves
            reasons.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        if holds(parity):
            inputs, outputs = list(shapes.inputs), list(shapes.outputs)
            return Graph(file=path.name, opset=opset, inputs=inputs, outputs=outputs, parity=parity, exporter=name), ""
        reasons.append(f"{name}: differs by {parity.max_abs_difference:g}, {parity.labels_changed} labels changed")
    return None, "; ".join(reasons)


def _shapes(network: Network | _Head, calls: Sequence[Tensors], variable_axes: Mapping[str, Sequence[int]]) -> _Shapes:
    seen: dict[str, set[tuple[int, ...]]] = {}
    outputs: tuple[str, ...] = ()
    for call in calls:
        with torch.no_grad():
            given = network.infer(call)
        outputs = tuple(given)
        for name, each in {**given, **call}.items():
            seen.setdefault(name, set()).add(tuple(each.shape))
    axes = {}
    for name, shapes in seen.items():
        differing = [axis for axis, lengths in enumerate(zip(*shapes, strict=True)) if axis and len(set(lengths)) > 1]
        axes[name] = {0: "batch"} | {axis: f"{name}_{axis}" for axis in (*differing, *variable_axes.get(name, ()))}
    return _Shapes(tuple(calls[0]), outputs, axes)


def holds(parity: Parity) -> bool:
    """No row gets another answer, and no number differs by more than rounding."""
    return not parity.labels_changed and parity.max_abs_difference <= TOLERANCE * max(1.0, parity.max_abs_output or 0)


def measure_parity(
    network: Network | _Head, calls: Sequence[Tensors], paths: Sequence[Path], *, outputs: Sequence[str]
) -> Parity:
    """Ask both the same: the network, and its file, or the files that are run one after another."""
    run = OnnxGraphs({MODEL: [Session(path) for path in paths]})
    worst, largest = 0.0, 0.0
    changed = 0 if "logits" in outputs else None
    for call in calls:
        with torch.no_grad():
            expected = {name: each.numpy() for name, each in network.infer(call).items()}
        answer = run(MODEL, {name: each.numpy() for name, each in call.items()})
        for name, found in ((name, answer[name]) for name in outputs):
            if found.shape != expected[name].shape:
                raise ValueError(f"{name} has shape {found.shape}, not {expected[name].shape}")
            difference = np.subtract(found, expected[name], dtype=np.float64)
            worst = max(worst, float(np.abs(difference).max(initial=0)))
            largest = max(largest, float(np.abs(expected[name]).max(initial=0)))
            if name == "logits" and changed is not None:
                changed += int((found.argmax(axis=-1) != expected[name].argmax(axis=-1)).sum())
    if not math.isfinite(worst):
        raise ValueError("an output is not a number")
    rows = sum(_rows(call) for call in calls)
    return Parity(rows=rows, max_abs_difference=worst, labels_changed=changed, max_abs_output=largest)


def batch_sizes(rows: int) -> Iterator[tuple[int, int]]:
    """Where batches of `SIZES`, over and over, begin and end among so many rows."""
    start, turn = 0, 0
    while start < rows:
        end = min(rows, start + SIZES[turn % len(SIZES)])
        yield start, end
        start, turn = end, turn + 1


def _exemplary(call: Tensors) -> tuple[bool, int, int]:
    """More than one row, but few; few lengths of 1, which may be traced as a constant; and then the longest."""
    ones = sum(each.shape.count(1) for each in call.values())
    return 1 < _rows(call) <= LARGEST_EXAMPLE, -ones, sum(each.numel() for each in call.values())


def _rows(call: Tensors) -> int:
    return len(next(iter(call.values())))


class _Head(nn.Module):
    """The head of a network of one backbone, over its embedding."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.head = network.require_head()
        (self.slot,) = network.backbones

    def infer(self, batch: Tensors) -> Tensors:
        """From `embedding` [B, D]."""
        return self.head.infer({self.slot: {Feature.POOLED: (batch[EMBEDDING],)}}, batch)


class _Graph(nn.Module):
    """`infer` as a function of tensors in a fixed order, which is all an exporter understands."""

    def __init__(self, network: Network | _Head, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        answer = self.network.infer(dict(zip(self.inputs, tensors, strict=True)))
        return tuple(answer[name] for name in self.outputs)


def _by_torchscript(graph: _Graph, example: Tensors, path: Path, shapes: _Shapes, opset: int) -> None:
    torch.onnx.export(
        graph,
        tuple(example.values()),
        str(path),
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        dynamic_axes=shapes.axes,
        opset_version=opset,
        dynamo=False,
    )


def _by_dynamo(graph: _Graph, example: Tensors, path: Path, shapes: _Shapes, opset: int) -> None:
    dynamic = tuple(dict.fromkeys(shapes.axes[name], torch.export.Dim.DYNAMIC) for name in graph.inputs)
    torch.onnx.export(
        graph,
        tuple(example.values()),
        str(path),
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        dynamic_shapes=(dynamic,),
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
