"""Nested sizes of a network: made before the training, measured after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ml.errors import SpecError
from ml.inference.latency import measure_latency
from ml.inference.predictor import Predictor
from ml.learning.nn.network import build
from ml.learning.nn.units import find_units, with_counts
from ml.learning.training.nested import NarrowNetwork
from ml.metrics.base import wilson_interval
from ml.package.manifest import Size
from ml.package.package import SIZES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.config import Choice
    from ml.data.rows import Row
    from ml.learning.pipeline.report import SizeSection
    from ml.package.package import ModelPackage


def make_slices(
    sizes: Sequence[float],
    architectures: Mapping[str, Choice],
    *,
    shapes: Mapping[str, Mapping[str, int]],
    head: Choice | None,
) -> list[NarrowNetwork]:
    """Make the narrower networks of a network, the widest first.

    The random state of torch stays. `architectures` are those of `ml.learning.nn.units.separate_units`. Raises
    `SpecError` if the network has no units to leave out.
    """
    units = find_units(architectures, shapes=shapes, head=head)
    if not units:
        names = ", ".join(choice.name for choice in architectures.values())
        message = (
            f"this network ({names}) has only one size: all of its widths are those of features that the head reads"
        )
        raise SpecError(message, hint="Leave sizes out, or name an architecture with more layers.")
    slices = []
    with torch.random.fork_rng(devices=[]):
        for size in sorted((size for size in sizes if size < 1), reverse=True):
            counted = [(item, max(1, round(size * item.count))) for item in units]
            counts = {(item.slot, item.option): count for item, count in counted}
            narrower = {slot: with_counts(choice, slot, counts) for slot, choice in architectures.items()}
            slices.append(NarrowNetwork(size, build(narrower, shapes=shapes, head=head), narrower, counted))
    return slices


def measure_sizes(
    packages: Mapping[float, ModelPackage], operations: Mapping[float, int], rows: Sequence[Row]
) -> list[Size]:
    """Return cost and metrics of each size, the largest first, measured in turns on `rows`."""
    predictors = {str(size): Predictor.load(package) for size, package in packages.items()}
    latency = measure_latency(predictors, rows) if rows else {}
    return [
        Size(
            size=size,
            path=None if size == 1 else f"{SIZES}{size:g}",
            parameters=package.manifest.parameters,
            operations=operations[size],
            latency_ms={str(count): value for count, value in latency.get(str(size), {}).items()},
            metrics=package.manifest.metrics,
        )
        for size, package in sorted(packages.items(), reverse=True)
    ]


def describe_size(size: Size, *, split: str, rows: int) -> SizeSection:
    """Return a size for the report, with its metrics on `rows` rows of a split."""
    start = f"{split}/"
    metrics = {name.removeprefix(start): value for name, value in size.metrics.items() if name.startswith(start)}
    section: SizeSection = {
        "size": size.size,
        "parameters": size.parameters,
        "operations": size.operations,
        "latency_ms": size.latency_ms,
        "metrics": metrics,
    }
    accuracy = metrics.get("accuracy")
    if accuracy is not None:
        section["accuracy_interval"] = wilson_interval(accuracy, rows)
    return section
