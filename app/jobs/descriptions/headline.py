"""The metric that tells most about a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.dependencies import read_catalog
from app.jobs.descriptions.report_summary import metric_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SPLITS = ("test", "validation", "train")


class BestMetric(NamedTuple):
    """A metric of a job: its name, the name in words, and the newest value."""

    name: str
    label: str
    value: float


def choose_headline(spec: Mapping[str, Any], latest: Mapping[str, float | None]) -> BestMetric | None:
    """Return the first metric of the task, of test rows before others.

    A loss, whose scale depends on the settings, comes only where there is nothing else.
    """
    for name in _candidates(spec, latest):
        value = latest.get(name)
        if value is not None:
            split, _, metric = name.partition("/")
            return BestMetric(name=name, label=f"{metric_name(metric)} on {split} rows", value=value)
    return None


def _candidates(spec: Mapping[str, Any], latest: Mapping[str, float | None]) -> Iterator[str]:
    training = spec.get("job") if isinstance(spec.get("job"), dict) else spec
    task = ((training or {}).get("task") or {}) if training else {}
    task_name = task.get("name") if isinstance(task, dict) else task
    entry = read_catalog().tasks.get(str(task_name))
    metrics = [name for name in (entry.metrics if entry else ()) if name != "loss"]
    for split in SPLITS:
        yield from (f"{split}/{name}" for name in metrics)
        names = [name for name in latest if name.startswith(f"{split}/")]
        # Without its metrics in a catalog, as of a pretraining, all but losses tell something.
        yield from (name for name in names if entry is None and "loss" not in name)
    yield from (f"{split}/loss" for split in SPLITS)
