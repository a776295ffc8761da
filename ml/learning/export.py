"""A network as an ONNX graph, and the proof that both say the same."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ml.package import Parity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ml.learning.heads.base import Tensors
    from ml.learning.network import Network

OPSET = 18
TOLERANCE = 1e-3
"""Of the largest value of an output: far above what float32 loses by adding in another order, far below a mistake."""
SIZES = (1, 2, 5, 64)
"""Batches that parity is tried with, over and over; a size that was baked in shows at once."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A graph on disk, or the reason why there is none."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parity: Parity | None
    exporter: str | None
    reason: str | None = None


def export(network: Network, batch: Tensors, path: Path) -> Exported:
    """Write `network.infer` to `path`, reading the arrays of `batch`, on whose rows parity is measured.

    The TorchScript exporter goes first: for a small network it takes 0.2 s where the newer one takes 3.5 s. What it
    cannot trace, or traces wrongly, the newer one gets to try.
    """
    network.eval().to("cpu")
    inputs = tuple(batch)
    with torch.no_grad():
        outputs = tuple(network.infer(batch))
    reasons = []
    for name, write in (("torchscript", _by_torchscript), ("dynamo", _by_dynamo)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                write(_Graph(network, inputs, outputs).eval(), batch, path)
            parity = measure_parity(network, batch, path, outputs=outputs)
        except Exception as error:  # exporters fail in ways of their own; without a graph torch serves
            reasons.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        if holds(parity):
            return Exported(inputs, outputs, parity, name)
        reasons.append(f"{name}: differs by {parity.max_abs_difference:g}, {parity.labels_changed} labels changed")
    path.unlink(missing_ok=True)
    return Exported(inputs, outputs, None, None, reason="; ".join(reasons))


def holds(parity: Parity) -> bool:
    """No row gets another answer, and no number differs by more than rounding."""
    return not parity.labels_changed and parity.max_abs_difference <= TOLERANCE * max(1.0, parity.largest_output or 0)


def measure_parity(network: Network, batch: Tensors, path: Path, *, outputs: Sequence[str]) -> Parity:
    """Run both on the same rows, in batches of several sizes."""
    run = _runner(path, outputs)
    rows = len(next(iter(batch.values())))
    worst, largest = 0.0, 0.0
    changed = 0 if "logits" in outputs else None
    for start, end in _pieces(rows):
        piece = {name: each[start:end] for name, each in batch.items()}
        with torch.no_grad():
            expected = {name: each.numpy() for name, each in network.infer(piece).items()}
        for name, found in zip(outputs, run(piece), strict=True):
            if found.shape != expected[name].shape:
                raise ValueError(f"{name} has shape {found.shape}, not {expected[name].shape}")
            worst = max(worst, float(np.abs(found - expected[name]).max(initial=0)))
            largest = max(largest, float(np.abs(expected[name]).max(initial=0)))
            if name == "logits" and changed is not None:
                changed += int((found.argmax(axis=-1) != expected[name].argmax(axis=-1)).sum())
    if not math.isfinite(worst):
        raise ValueError("an output is not a number")
    return Parity(rows=rows, max_abs_difference=worst, labels_changed=changed, largest_output=largest)


class _Graph(nn.Module):
    """`infer` as a function of tensors in a fixed order, which is all an exporter understands."""

    def __init__(self, network: Network, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        answer = self.network.infer(dict(zip(self.inputs, tensors, strict=True)))
        return tuple(answer[name] for name in self.outputs)


def _by_torchscript(graph: _Graph, batch: Tensors, path: Path) -> None:
    torch.onnx.export(
        graph,
        tuple(each[:2] for each in batch.values()),
        str(path),
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        dynamic_axes={name: {0: "batch"} for name in (*graph.inputs, *graph.outputs)},
        opset_version=OPSET,
        dynamo=False,
    )


def _by_dynamo(graph: _Graph, batch: Tensors, path: Path) -> None:
    torch.onnx.export(
        graph,
        tuple(each[:2] for each in batch.values()),
        str(path),
        input_names=list(graph.inputs),
        output_names=list(graph.outputs),
        dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC} for _ in graph.inputs),),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _runner(path: Path, outputs: Sequence[str]) -> Callable[[Tensors], list[np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: Tensors) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(list(outputs), {name: each.numpy() for name, each in batch.items()})
        return found

    return run


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    start, turn = 0, 0
    while start < rows:
        end = min(rows, start + SIZES[turn % len(SIZES)])
        yield start, end
        start, turn = end, turn + 1
