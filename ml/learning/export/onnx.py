"""ONNX export: a network as ONNX graphs, and comparison of their outputs."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from ml.inference.embedding_adapter import EMBEDDING
from ml.inference.onnx_session import OnnxGraphs, Session
from ml.inference.onnx_weights import align_weights
from ml.learning.export.differences import largest_difference, largest_value
from ml.learning.export.stress import find_divergence, make_stress_calls
from ml.package.manifest import Graph, Parity
from ml.signals import Feature
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.signals import Arrays, Run

OPSET: Final = 18
#: Fraction of the largest output: far above float32 rounding in another order of sums, far below a wrong graph.
TOLERANCE: Final = 1e-3
#: Rows of the batches that parity is measured on, in turn. A batch size that was traced as a constant fails at once.
BATCH_SIZES: Final = (1, 2, 5, 64)
#: Rows of the batch that is traced.
MAX_EXAMPLE_ROWS: Final = 8
TRUNK: Final = "trunk.onnx"
#: Shape of the call that a trunk is traced with; every encoder of texts allows this length.
DUMMY_ROWS, DUMMY_LENGTH = 2, 8
#: Recorded calls of each graph; a loop over many rows makes far more than parity needs.
MAX_CALLS: Final = 48


#: Graph -> the inputs of its recorded calls, in order.
RecordedCalls = dict[str, list["Tensors"]]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Exported graphs by name, or the reason why there are none."""

    graphs: dict[str, Graph]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Inputs and outputs of a graph, and the axes of each that have any length."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: dict[str, dict[int, str]]


def record_calls(
    network: Network, graphs: Mapping[str, Sequence[str]], predict: Callable[[Run], object]
) -> RecordedCalls:
    """Record the inputs of each graph while `predict` runs on torch.

    The inputs of a loop's later steps are known only then.
    """
    calls: RecordedCalls = {graph: [] for graph in graphs}

    def run(graph: str, batch: Arrays) -> Arrays:
        inputs = {name: torch.from_numpy(np.asarray(batch[name])) for name in graphs[graph] if name in batch}
        if len(calls[graph]) < MAX_CALLS:
            calls[graph].append(inputs)
        with torch.no_grad():
            return {name: tensor.numpy() for name, tensor in network.infer(inputs).items()}

    network.eval().to("cpu")
    predict(run)
    return calls


def export(
    network: Network,
    calls: RecordedCalls,
    folder: Path,
    *,
    variable_axes: Mapping[str, Sequence[int]],
    has_trunk: bool = False,
    opset: int = OPSET,
) -> ExportResult:
    """Write `network.infer` as ONNX graphs, one for each graph of `calls`.

    Either all are written or none. Parity is measured on the calls. `variable_axes` lists by array the axes, other than
    the batch, that have any length; those that differ among the calls have, too. With `has_trunk`, a network that
    `can_have_trunk` is written to two files.
    """
    network.eval().to("cpu")
    graphs = {}
    for name, graph_calls in calls.items():
        path = folder / f"{name}.onnx"
        if has_trunk:
            graph, reason = _export_in_two(network, graph_calls, path, variable_axes)
        else:
            # The graph of a base model is the trunk of its fine-tuned models.
            example = None if network.head is not None else make_dummy_call(graph_calls, variable_axes)
            graph, reason = _export_one(network, graph_calls, path, variable_axes, example=example, opset=opset)
        if graph is None:
            for path in folder.glob("*.onnx"):
                path.unlink()
            return ExportResult({}, reason=reason if len(calls) == 1 else f"{name}: {reason}")
        graphs[name] = graph
    return ExportResult(graphs)


def can_have_trunk(network: Network) -> bool:
    """Check if the head reads nothing but the `embedding` of one backbone."""
    head = network.head
    return head is not None and len(network.backbones) == 1 and head.needs == {Feature.POOLED} and not head.condition


def _export_in_two(
    network: Network, calls: Sequence[Tensors], path: Path, variable_axes: Mapping[str, Sequence[int]]
) -> tuple[Graph | None, str]:
    """Write the backbone and the head to a file each.

    The backbone's graph is that of a base model: nothing in it depends on this fine-tuning.
    """
    trunk, head = network.without_head(), _HeadModule(network)
    first, reason = _export_one(
        trunk, calls, path.with_name(TRUNK), variable_axes, example=make_dummy_call(calls, variable_axes)
    )
    if first is None:
        return None, f"trunk: {reason}"
    with torch.no_grad():
        embeddings = [{EMBEDDING: trunk.infer(call)[EMBEDDING]} for call in calls]
    second, reason = _export_one(head, embeddings, path, {})
    if second is None:
        return None, f"head: {reason}"
    shapes = _shapes(network, calls, variable_axes)
    parity = measure_parity(network, calls, [path.with_name(TRUNK), path], outputs=shapes.outputs)
    if not is_within_tolerance(parity):
        return None, f"in two files: differs by {parity.max_abs_difference:g}, {parity.labels_changed} labels changed"
    inputs, outputs = list(shapes.inputs), list(shapes.outputs)
    changes = {"trunk": TRUNK, "inputs": inputs, "outputs": outputs, "parity": parity, "exporter": first.exporter}
    return second.model_copy(update=changes), ""


def make_dummy_call(calls: Sequence[Tensors], variable_axes: Mapping[str, Sequence[int]]) -> Tensors:
    """Make a call of ones, so that its trace does not depend on rows."""
    dummy = {}
    for name, tensor in calls[0].items():
        variable = variable_axes.get(name, ())
        shape = [DUMMY_LENGTH if axis in variable else length for axis, length in enumerate(tensor.shape)]
        dummy[name] = torch.ones([DUMMY_ROWS, *shape[1:]], dtype=tensor.dtype)
    return dummy


def _export_one(
    network: Network | _HeadModule,
    calls: Sequence[Tensors],
    path: Path,
    variable_axes: Mapping[str, Sequence[int]],
    *,
    example: Tensors | None = None,
    opset: int = OPSET,
) -> tuple[Graph | None, str]:
    """Export to one file, by the TorchScript exporter or else by the newer one.

    The first takes 0.2 s for a small network, the newer one 3.5 s, which also exports some networks that the first
    cannot trace or traces wrongly. One of the calls is traced, unless there is an `example`: then nothing in the graph
    depends on the calls.
    """
    shapes = _shapes(network, calls if example is None else [example], variable_axes)
    example = example or max(calls, key=_rank_example)
    reasons = []
    for name, write in (("torchscript", _write_torchscript), ("dynamo", _write_dynamo)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                write(_GraphModule(network, shapes.inputs, shapes.outputs).eval(), example, path, shapes, opset)
            align_weights(path)
            parity = measure_parity(network, calls, [path], outputs=shapes.outputs)
        except Exception as error:  # exporters raise anything; without a graph, torch serves the model
            reasons.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        if not is_within_tolerance(parity):
            reasons.append(f"{name}: differs by {parity.max_abs_difference:g}, {parity.labels_changed} labels changed")
        elif divergence := _find_divergence(network, calls, path, shapes, variable_axes):
            reasons.append(f"{name}: {divergence}")
        else:
            inputs, outputs = list(shapes.inputs), list(shapes.outputs)
            return Graph(file=path.name, opset=opset, inputs=inputs, outputs=outputs, parity=parity, exporter=name), ""
    return None, "; ".join(reasons)


def _find_divergence(
    network: Network | _HeadModule,
    calls: Sequence[Tensors],
    path: Path,
    shapes: _Shapes,
    variable_axes: Mapping[str, Sequence[int]],
) -> str | None:
    """Return where the graph differs from the network on unusual inputs.

    Return None if nowhere.
    """
    lengths: dict[str, int | None] = {EMBEDDING: None}
    if not isinstance(network, _HeadModule):
        lengths = {slot: width.shape.get("length") for slot, width in network.widths.items()}
    variable = frozenset(name for name, axes in variable_axes.items() if 1 in axes)
    stress_calls = make_stress_calls(calls, lengths=lengths, variable=variable)
    return find_divergence(network.infer, stress_calls, [path], outputs=shapes.outputs, tolerance=TOLERANCE)


def _shapes(
    network: Network | _HeadModule, calls: Sequence[Tensors], variable_axes: Mapping[str, Sequence[int]]
) -> _Shapes:
    shapes: dict[str, set[tuple[int, ...]]] = {}
    outputs: tuple[str, ...] = ()
    for call in calls:
        with torch.no_grad():
            result = network.infer(call)
        outputs = tuple(result)
        for name, tensor in {**result, **call}.items():
            shapes.setdefault(name, set()).add(tuple(tensor.shape))
    axes = {}
    for name, own_shapes in shapes.items():
        differing = [
            axis for axis, lengths in enumerate(zip(*own_shapes, strict=True)) if axis and len(set(lengths)) > 1
        ]
        axes[name] = {0: "batch"} | {axis: f"{name}_{axis}" for axis in (*differing, *variable_axes.get(name, ()))}
    return _Shapes(tuple(calls[0]), outputs, axes)


def is_within_tolerance(parity: Parity) -> bool:
    """Check that no label changed and no output differs by more than rounding."""
    return not parity.labels_changed and parity.max_abs_difference <= TOLERANCE * max(1.0, parity.max_abs_output or 0)


def measure_parity(
    network: Network | _HeadModule, calls: Sequence[Tensors], paths: Sequence[Path], *, outputs: Sequence[str]
) -> Parity:
    """Compare the outputs of a network and of its ONNX files, which run in sequence.

    Raises:
        ValueError: A shape differs, or a value is finite in one of them alone.
    """
    run = OnnxGraphs({MODEL: [Session(path) for path in paths]})
    max_difference, max_output = 0.0, 0.0
    changed = 0 if "logits" in outputs else None
    for call in calls:
        with torch.no_grad():
            expected = {name: tensor.numpy() for name, tensor in network.infer(call).items()}
        result = run(MODEL, {name: tensor.numpy() for name, tensor in call.items()})
        for name, values in ((name, result[name]) for name in outputs):
            if values.shape != expected[name].shape:
                raise ValueError(f"{name} has shape {values.shape}, not {expected[name].shape}")
            difference = largest_difference(values, expected[name])
            if math.isinf(difference):
                raise ValueError(f"{name} is not finite where that of the network is, or the reverse")
            max_difference = max(max_difference, difference)
            max_output = max(max_output, largest_value(expected[name]))
            if name == "logits" and changed is not None:
                changed += int((values.argmax(axis=-1) != expected[name].argmax(axis=-1)).sum())
    rows = sum(_count_rows(call) for call in calls)
    return Parity(rows=rows, max_abs_difference=max_difference, labels_changed=changed, max_abs_output=max_output)


def batch_bounds(rows: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of batches with the sizes of `BATCH_SIZES` in turn."""
    start, turn = 0, 0
    while start < rows:
        end = min(rows, start + BATCH_SIZES[turn % len(BATCH_SIZES)])
        yield start, end
        start, turn = end, turn + 1


def _rank_example(call: Tensors) -> tuple[bool, int, int]:
    """Rank calls for tracing: few rows, few axes of length 1, most elements.

    An axis of length 1 may be traced as a constant.
    """
    ones = sum(tensor.shape.count(1) for tensor in call.values())
    return 1 < _count_rows(call) <= MAX_EXAMPLE_ROWS, -ones, sum(tensor.numel() for tensor in call.values())


def _count_rows(call: Tensors) -> int:
    return len(next(iter(call.values())))


class _HeadModule(nn.Module):
    """Head of a network with one backbone, which reads its embedding."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.head = network.require_head()
        (self.slot,) = network.backbones

    def infer(self, batch: Tensors) -> Tensors:
        """Return the outputs of the head for `embedding` [B, D]."""
        return self.head.infer({self.slot: {Feature.POOLED: (batch[EMBEDDING],)}}, batch)


class _GraphModule(nn.Module):
    """`infer` as a function of tensors in a fixed order, as exporters require."""

    def __init__(self, network: Network | _HeadModule, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        result = self.network.infer(dict(zip(self.inputs, tensors, strict=True)))
        return tuple(result[name] for name in self.outputs)


def _write_torchscript(graph: _GraphModule, example: Tensors, path: Path, shapes: _Shapes, opset: int) -> None:
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


def _write_dynamo(graph: _GraphModule, example: Tensors, path: Path, shapes: _Shapes, opset: int) -> None:
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
