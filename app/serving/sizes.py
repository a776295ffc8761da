"""Choice of a nested size by the time that a request may take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.serving.types import LoadedModel, ServedVersion
    from ml.package.manifest import Manifest, Size


def choose_size(
    model: LoadedModel, *, rows: int, budget_seconds: float, waiting_seconds: Callable[[ServedVersion], float]
) -> ServedVersion:
    """Return the largest size that answers `rows` rows in time, else the smallest.

    The time is that measured when the sizes were trained, and `waiting_seconds` of the queue in front of a size. A
    model of one size has no choice.
    """
    manifest = model.predictor.manifest
    served = replace(model.served, size=1.0)
    for size in manifest.sizes:
        served = of_size(model.served, size, manifest)
        if waiting_seconds(served) + expected_seconds(size.latency_ms, rows) <= budget_seconds:
            break
    return served


def expected_seconds(latency_ms: Mapping[str, float], rows: int) -> float:
    """Return the time of a request, interpolated between the numbers of rows that were measured."""
    points = sorted((int(count), milliseconds) for count, milliseconds in latency_ms.items())
    if not points:
        return 0.0
    (first, low), (last, high) = points[0], points[-1]
    slope = max(0.0, high - low) / (last - first) if last > first else 0.0
    return max(low, low + slope * (rows - first)) / 1000


def of_size(served: ServedVersion, size: Size, manifest: Manifest) -> ServedVersion:
    """Return a size of a version as a version of its own.

    Its package is a folder in that of the whole.
    """
    if size.path is None:
        return replace(served, size=size.size)
    own_manifest = f"{size.path}/manifest.json"
    checksums = {entry.path: entry.sha256 for entry in manifest.files}
    return replace(
        served,
        id=f"{served.id}-{size.size:g}",
        key=f"{served.key}/{size.path}",
        manifest_sha256=checksums.get(own_manifest, ""),
        size=size.size,
    )
