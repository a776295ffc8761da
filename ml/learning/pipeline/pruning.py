"""Structured pruning: a network without its least important channels, heads and hidden units.

The importance of a unit is the squared first-order change of the loss without it, summed over the tensors that have
slices of it (Molchanov et al. 2019, arXiv:1906.10771, equation 8). Every layer keeps the same fraction of its units,
the largest that meets the limit of operations. What remains is a smaller network of the same architecture.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import torch
from safetensors.torch import save_file

from ml.data.dataset import Dataset
from ml.errors import SpecError
from ml.evaluation.evaluate import evaluate_package
from ml.inference.latency import measure_latency
from ml.inference.predictor import Predictor
from ml.learning.export.packaging import to_requests
from ml.learning.export.torch_runner import load_network
from ml.learning.nn.network import build
from ml.learning.nn.operations import count_operations
from ml.learning.nn.units import cut, find_units, spell_out, with_counts
from ml.learning.training.adversarial import differentiable
from ml.learning.training.batches import SequentialBatches
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from ml.config import Choice
    from ml.data.rows import Rows
    from ml.learning.nn.network import Network
    from ml.learning.nn.units import OptionPath, Units
    from ml.learning.pipeline.report import EvaluationReport

#: Training rows from which importance is computed: enough to rank units, and seconds for small networks.
IMPORTANCE_ROWS: Final = 1024
BATCH_ROWS: Final = 64
#: Halvings of the interval in which the fraction of units lies; layers have at most thousands of units.
BISECTIONS: Final = 14


class RemovedUnits(TypedDict):
    """Units of an option before and after."""

    option: str
    before: int
    after: int


class BeforeAfter(TypedDict):
    """A value of the original model, and of the pruned one."""

    before: float
    after: float


class MetricBeforeAfter(BeforeAfter):
    """A metric on the same rows, with 95 % confidence intervals where they are known."""

    before_interval: NotRequired[tuple[float, float]]
    after_interval: NotRequired[tuple[float, float]]


class PruningSection(TypedDict):
    """Changes that pruning made."""

    #: Multiply-adds for one row.
    operations: BeforeAfter
    parameters: BeforeAfter
    #: Median milliseconds to answer a request, by its number of rows.
    latency_ms: dict[str, BeforeAfter]
    metrics: dict[str, MetricBeforeAfter]
    units: list[RemovedUnits]


@dataclass(frozen=True, slots=True)
class PrunedNetwork:
    """A smaller network with the weights of the units that were retained, not trained yet."""

    network: Network
    architectures: dict[str, Choice]
    #: Multiply-adds for one row.
    operations_before: int
    operations: int
    units: list[RemovedUnits]


def prune(package: ModelPackage, rows: Rows, *, operations: float) -> PrunedNetwork:
    """Remove the least important units of a model.

    Args:
        package: A model with a task.
        rows: Training rows of the task.
        operations: Largest fraction of the operations that remains.

    Raises:
        SpecError: The network has no units to remove, or the fraction is below what remains without all of them.
    """
    network = load_network(package)
    batches = _read_batches(package, rows)
    architectures = {slot: spell_out(choice) for slot, choice in package.manifest.architectures.items()}
    shapes = {slot: encoder.shape() for slot, encoder in package.encoders().items()}
    units = find_units(architectures, shapes=shapes, head=package.manifest.head)
    if not units:
        names = ", ".join(choice.name for choice in architectures.values())
        message = f"the network ({names}) has no units to remove: all are features that its head reads"
        raise SpecError(message, hint="Train a smaller preset, or an architecture that the catalog lists as prunable.")

    def shrink(fraction: float) -> dict[str, Choice]:
        counts = _keep_counts(units, fraction)
        return {slot: with_counts(choice, slot, counts) for slot, choice in architectures.items()}

    def build_with(choices: Mapping[str, Choice]) -> Network:
        return build(choices, shapes=shapes, head=package.manifest.head).eval()

    row = {name: tensor[:1] for name, tensor in batches[0].items()}
    before = count_operations(network, row)

    def count(fraction: float) -> int:
        return count_operations(build_with(shrink(fraction)), row)

    fraction = _largest_fraction(count, limit=operations * before, before=before, requested=operations)
    smaller = build_with(shrink(fraction))
    counts = _keep_counts(units, fraction)
    retained = [
        (item, _most_important(importance, counts[item.slot, item.option]))
        for item, importance in zip(units, _importance(network, batches, units), strict=True)
    ]
    smaller.load_state_dict(cut(network.state_dict(), retained))
    sizes = {item.label: (item.count, counts[item.slot, item.option]) for item in units}
    return PrunedNetwork(
        network=smaller,
        architectures=shrink(fraction),
        operations_before=before,
        operations=count_operations(smaller, row),
        units=[{"option": label, "before": old, "after": new} for label, (old, new) in sizes.items()],
    )


def write_pruned(package: ModelPackage, pruned: PrunedNetwork, into: Path) -> ModelPackage:
    """Write a pruned network as a package to start from; it has no graphs."""
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        weights = Path(scratch) / WEIGHTS
        tensors = {name: tensor.contiguous() for name, tensor in pruned.network.state_dict().items()}
        save_file(tensors, weights)
        task = package.task()
        manifest = package.manifest.model_copy(
            update={
                "architectures": pruned.architectures,
                "parameters": sum(weight.numel() for weight in pruned.network.parameters()),
                "graphs": {},
                "sizes": [],
                "exits": [],
                "no_graph_reason": "it is not trained yet",
                "metrics": {},
            }
        )
        state = task.state if task else None
        files = {WEIGHTS: weights}
        return ModelPackage.create(into, manifest, files=files, encoders=package.encoders(), state=state)


def adopt(package: ModelPackage, original: ModelPackage, spec: Mapping[str, Any]) -> None:
    """Write the original and the spec into the manifest of a retrained model."""
    package.update_source(parent=digest(original.directory / MANIFEST), spec=dict(spec))


def compare_pruned(
    original: ModelPackage, smaller: ModelPackage, pruned: PrunedNetwork, dataset: Path, report: EvaluationReport
) -> PruningSection:
    """Compare a retrained model with the original, on the rows of its report."""
    data, split = Dataset.open(dataset), report["split"]
    before = evaluate_package(original, data, split=split)
    task = original.task()
    assert task is not None
    predictors = {"before": Predictor.load(original), "after": Predictor.load(smaller)}
    latency = measure_latency(predictors, to_requests(task, data.rows(split)[:BATCH_ROWS]))
    after_intervals = report.get("intervals", {})
    metrics: dict[str, MetricBeforeAfter] = {}
    for name, value in report["metrics"].items():
        if name in before["metrics"]:
            metrics[name] = {"before": before["metrics"][name], "after": value}
            if name in before["intervals"] and name in after_intervals:
                metrics[name]["before_interval"] = before["intervals"][name]
                metrics[name]["after_interval"] = after_intervals[name]
    return {
        "operations": {"before": pruned.operations_before, "after": pruned.operations},
        "parameters": {"before": original.manifest.parameters, "after": smaller.manifest.parameters},
        "latency_ms": {
            str(rows): {"before": latency["before"][rows], "after": latency["after"][rows]}
            for rows in latency["before"]
        },
        "metrics": metrics,
        "units": pruned.units,
    }


def summarize(section: PruningSection) -> list[str]:
    """Return the section as sentences."""
    operations, parameters = section["operations"], section["parameters"]
    lines = [
        f"{operations['after']:,} of {operations['before']:,} operations remain "
        f"({operations['after'] / operations['before']:.1%}), and {parameters['after']:,} of "
        f"{parameters['before']:,} parameters"
    ]
    for rows, times in section["latency_ms"].items():
        noun = "row" if rows == "1" else "rows"
        lines.append(f"a request of {rows} {noun} takes {times['after']:.2f} ms instead of {times['before']:.2f} ms")
    for name, values in section["metrics"].items():
        lines.append(f"{name} is {values['after']:.4f}, and was {values['before']:.4f} before")
    return lines


def _read_batches(package: ModelPackage, rows: Rows) -> list[dict[str, Tensor]]:
    task = package.task()
    if task is None:
        raise SpecError("a base model has no loss by which units could be judged", hint="Prune a fine-tuned model.")
    columns = task.encode(rows[:IMPORTANCE_ROWS])
    batches = SequentialBatches(columns, collate=task.collate, batch_size=BATCH_ROWS, device=torch.device("cpu"))
    return [dict(batch) for batch, _ in batches.epoch()]


def _keep_counts(units: Sequence[Units], fraction: float) -> dict[tuple[str, OptionPath], int]:
    return {(item.slot, item.option): max(1, round(fraction * item.count)) for item in units}


def _largest_fraction(count: Any, *, limit: float, before: int, requested: float) -> float:
    """Return the largest fraction of units whose network has at most `limit` operations."""
    low, high = 0.0, 1.0
    if (smallest := count(low)) > limit:
        message = f"{requested:g} of the operations cannot be reached: {smallest / before:.3f} remain with one unit in "
        message += "each layer that can be pruned, since features and head stay"
        reachable = min(0.95, round(1.2 * smallest / before + 0.005, 2))
        raise SpecError(message, hint=f"Set operations to {reachable:g} or more.")
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) <= limit else (low, middle)
    return low


def _importance(network: Network, batches: Sequence[Mapping[str, Tensor]], units: Sequence[Units]) -> list[Tensor]:
    """Return the importance of each unit, float64 [count] by layer."""
    parameters = {name: tensor for name, tensor in network.named_parameters() if tensor.is_floating_point()}
    totals = [torch.zeros(item.count, dtype=torch.float64) for item in units]
    for batch in batches:
        network.zero_grad()
        with differentiable(network):
            network.compute_losses(batch)["loss"].backward()  # type: ignore[no-untyped-call]
        for item, total in zip(units, totals, strict=True):
            change = torch.zeros(item.count, dtype=torch.float64)
            for name, dimensions in item.tensors.items():
                tensor = parameters.get(name)
                if tensor is not None and tensor.grad is not None:
                    change += _change_by_unit(tensor, dimensions, item.count, is_gated=name in item.gated)
            total += change.square()
    network.zero_grad()
    return totals


def _change_by_unit(tensor: Tensor, dimensions: Mapping[int, int], count: int, *, is_gated: bool) -> Tensor:
    """Return the first-order change of the loss without the slices of each unit.

    With `is_gated`, dimension 0 has gates one after another, a value of each unit in each.
    """
    assert tensor.grad is not None
    change = (tensor.detach() * tensor.grad).double()
    total = torch.zeros(count, dtype=torch.float64)
    for dimension in dimensions:
        if is_gated and dimension == 0:
            total += change.reshape(-1, count, *change.shape[1:]).transpose(0, 1).reshape(count, -1).sum(dim=1)
        else:
            total += change.transpose(0, dimension).reshape(count, -1).sum(dim=1)
    return total


def _most_important(importance: Tensor, count: int) -> Tensor:
    """Return the positions of the largest values, in ascending order."""
    return torch.sort(importance.argsort(descending=True, stable=True)[:count]).values
