"""Early exits of a model of several sizes: the threshold, and what it saves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from ml.inference.cascade import LOGITS, Cascade, Stage, confidence, is_sure
from ml.learning.training.batches import to_arrays, to_device
from ml.package.manifest import Exit
from ml.tasks.base import MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ml.learning.nn.heads.base import Tensors
    from ml.learning.nn.network import Network
    from ml.package.package import ModelPackage
    from ml.signals import Arrays

#: Accuracy that exits may cost.
TOLERANCE: Final = 0.003
#: Standard errors of a one-sided 95 % bound.
BOUND: Final = 1.645
#: Smallest threshold where validation rows are too few to bound a loss of `TOLERANCE`.
CAUTIOUS_THRESHOLD: Final = 0.95
#: Thresholds that are tried: confidences at equal distances in their order.
CANDIDATES: Final = 400


@dataclass(frozen=True, slots=True)
class SizeOutputs:
    """One size, and its logits on validation rows."""

    size: float
    network: Network
    temperature: float
    #: Multiply-adds for one row.
    operations: int
    #: float [N, K], before the temperature.
    logits: np.ndarray

    @property
    def calibrated(self) -> np.ndarray:
        """Logits divided by the temperature."""
        return self.logits / np.float32(self.temperature)


class ExitNetwork(nn.Module):
    """Networks of several sizes as one, whose rows leave at the first that is sure."""

    def __init__(self, sizes: Sequence[SizeOutputs], threshold: float) -> None:
        """`sizes` are in ascending order."""
        super().__init__()
        self.threshold = threshold
        last = len(sizes) - 1
        self.cascade = Cascade(
            [
                Stage(partial(_run, item.network), item.temperature, None if number == last else threshold)
                for number, item in enumerate(sizes)
            ]
        )

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return what the networks infer, each row by the one at which it left."""
        return {name: torch.from_numpy(array) for name, array in self.cascade(MODEL, to_arrays(dict(batch))).items()}

    def infer(self, batch: Mapping[str, Tensor]) -> Tensors:
        """Return the same as `forward`."""
        return self(batch)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def choose_threshold(sizes: Sequence[SizeOutputs], label: np.ndarray) -> float | None:
    """Return the threshold with the fewest operations whose loss of accuracy is at most `TOLERANCE`.

    `sizes` are in ascending order. All exits have the same threshold, since their confidences are calibrated. The loss
    is the upper end of its one-sided 95 % interval on the validation rows, since the best of many thresholds looks
    better on the rows that choose it. Rows too few for such a bound count as they are, and the threshold is then at
    least `CAUTIOUS_THRESHOLD`. None if no threshold saves operations, compared with the whole network alone.
    """
    whole = sizes[-1].logits.argmax(axis=1) == label
    is_enough = len(label) * TOLERANCE >= BOUND
    least = 0.0 if is_enough else CAUTIOUS_THRESHOLD
    values = np.sort(np.concatenate([confidence(item.calibrated) for item in sizes[:-1]]))
    positions = np.linspace(0, len(values) - 1, min(CANDIDATES, len(values))).astype(int)
    best, fewest = None, float(sizes[-1].operations)
    for threshold in np.unique(values[positions]):
        if threshold < least:
            continue
        right, _, operations = _run_exits(sizes, label, float(threshold))
        lost, gained = int((whole & ~right).sum()), int((right & ~whole).sum())
        # One row more in the variance, as if the next one were lost: no difference on the rows does not prove none.
        margin = BOUND * math.sqrt(lost + gained + 1) if is_enough else 0.0
        if lost - gained + margin <= TOLERANCE * len(label) and operations < fewest:
            best, fewest = float(threshold), operations
    return best


def simulate(sizes: Sequence[SizeOutputs], label: np.ndarray, threshold: float) -> tuple[float, list[float], float]:
    """Return accuracy, fraction of rows by size, and mean operations of a row."""
    right, fractions, operations = _run_exits(sizes, label, threshold)
    return float(right.mean()), fractions, operations


def _run_exits(
    sizes: Sequence[SizeOutputs], label: np.ndarray, threshold: float
) -> tuple[np.ndarray, list[float], float]:
    """Return which rows are right, and what they cost.

    bool [N], the fraction of rows by size, and the mean operations of a row.
    """
    left, right = np.ones(len(label), bool), np.zeros(len(label), bool)
    operations = 0.0
    fractions = []
    for number, item in enumerate(sizes):
        operations += item.operations * float(left.mean())
        leaves = left & is_sure(item.calibrated, None if number == len(sizes) - 1 else threshold)
        right |= (item.logits.argmax(axis=1) == label) & leaves
        fractions.append(float(leaves.mean()))
        left &= ~leaves
    return right, fractions, operations


def make_exits(package: ModelPackage, sizes: Sequence[SizeOutputs], threshold: float) -> list[Exit]:
    """Return the exits for the manifest; empty if a size has no graph to run."""
    exits = []
    for number, item in enumerate(sizes):
        prefix = "" if item.size == 1 else f"sizes/{item.size:g}/"
        part = package if item.size == 1 else package.open(package.directory / prefix)
        if not part.manifest.graphs:
            return []
        files = {
            name: [prefix + file for file in (graph.files if graph.is_served_row_by_row else graph.served_files)]
            for name, graph in part.manifest.graphs.items()
        }
        is_last = number == len(sizes) - 1
        exits.append(
            Exit(size=item.size, files=files, temperature=item.temperature, threshold=None if is_last else threshold)
        )
    return exits


def _run(network: Network, graph: str, batch: Arrays) -> Arrays:  # noqa: ARG001 - a `Run`
    device = next(network.parameters()).device
    with torch.no_grad():
        outputs = to_arrays(network.infer(to_device(batch, device)))
    return {LOGITS: outputs[LOGITS]}
