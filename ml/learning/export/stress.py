"""Comparison of a network with its ONNX files on inputs unlike the recorded calls.

They have other lengths, rows of padding alone, or values at their limits. T time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch

from ml.inference.onnx_session import OnnxGraphs, Session
from ml.learning.export.differences import largest_difference, largest_value
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from ml.learning.nn.heads.base import Tensors

ROWS: Final = 2
#: Longest sequence that is tried; attention to more would take longer than all recorded calls together.
MAX_LENGTH: Final = 512
#: Factor of real numbers, far outside of what encoders return.
SCALE: Final = 10.0
MASK: Final = "_mask"


def find_divergence(
    infer: Callable[[Tensors], Tensors],
    stress_calls: Mapping[str, Tensors],
    paths: Sequence[Path],
    *,
    outputs: Sequence[str],
    tolerance: float,
) -> str | None:
    """Return on which call the files differ from the network; None if on none.

    `tolerance` is a fraction of the largest output. Values that are not finite must be so in both. A call that the
    network itself refuses is left out.
    """
    run = OnnxGraphs({MODEL: [Session(path) for path in paths]})
    for name, call in stress_calls.items():
        try:
            with torch.no_grad():
                expected = {output: tensor.numpy() for output, tensor in infer(call).items()}
        except (RuntimeError, IndexError, ValueError):  # such as a clip shorter than a convolution
            continue
        result = run(MODEL, {array: tensor.numpy() for array, tensor in call.items()})
        for output in outputs:
            difference = _difference(result[output], expected[output])
            if difference > tolerance:
                return f"{output} differs by {difference:g} of the largest value on a call of {name}"
    return None


def make_stress_calls(
    calls: Sequence[Tensors], *, lengths: Mapping[str, int | None], variable: frozenset[str]
) -> dict[str, Tensors]:
    """Make calls by what is unusual in them, from a recorded call.

    There are none for a graph of a loop, whose state must match what was read before.

    Args:
        calls: Recorded calls of the graph.
        lengths: Signal -> longest sequence that the network reads, None without a limit.
        variable: Signals whose second axis has any length.
    """
    call = next((call for call in calls if _count_rows(call) >= ROWS), calls[0])
    call = {name: tensor[:ROWS] for name, tensor in call.items()}
    if not all(name.removesuffix(MASK) in lengths for name in call):
        return {}
    stress = dict(_make_extreme(call))
    masked = [name for name in call if f"{name}{MASK}" in call and call[f"{name}{MASK}"].ndim == 2]
    if not masked:
        return stress
    stress["padding alone"] = call | {
        f"{name}{MASK}": call[f"{name}{MASK}"] & (torch.arange(_count_rows(call)) == 0)[:, None] for name in masked
    }
    if variable.issuperset(masked):
        stress["one step"] = call | dict(_resize(call, masked, dict.fromkeys(masked, 1)))
        longest = {name: min(MAX_LENGTH, lengths[name] or 2 * call[name].shape[1]) for name in masked}
        stress["the longest sequence"] = call | dict(_resize(call, masked, longest))
    return stress


def _make_extreme(call: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Yield calls whose values are at their limits."""
    real = {name: tensor for name, tensor in call.items() if tensor.is_floating_point()}
    if real:
        yield "large values", call | {name: SCALE * tensor for name, tensor in real.items()}
        yield "zeros", call | {name: torch.zeros_like(tensor) for name, tensor in real.items()}
    tokens = {name: tensor for name, tensor in call.items() if tensor.dtype == torch.int64 and tensor.ndim == 2}
    if tokens:
        yield "one token", call | {name: torch.full_like(tensor, int(tensor.max())) for name, tensor in tokens.items()}


def _resize(call: Tensors, names: Sequence[str], lengths: Mapping[str, int]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield signals repeated or cut to a length, and their masks.

    The last row has half of the length.
    """
    for name in names:
        signal, length = call[name], lengths[name]
        repeats = -(-length // signal.shape[1])
        yield name, torch.cat([signal] * repeats, dim=1)[:, :length]
        mask = torch.ones(signal.shape[0], length, dtype=torch.bool)
        mask[-1, (length + 1) // 2 :] = False
        yield f"{name}{MASK}", mask


def _difference(values: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference as a fraction of the largest value.

    It is infinite for arrays of other shapes, or if a value is finite in one of them alone.
    """
    if values.shape != expected.shape:
        return math.inf
    return largest_difference(values, expected) / max(1.0, largest_value(expected))


def _count_rows(call: Tensors) -> int:
    return len(next(iter(call.values())))
