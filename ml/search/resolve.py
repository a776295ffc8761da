"""Filling of the defaults of a sweep: metric, strategy, and the space around a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ml.schedule import is_higher_better
from ml.search.check import accepts_fractions, metrics_of
from ml.search.halving import Halving
from ml.search.schema import SearchRange
from ml.spec.requirements import Requirements
from ml.spec.resolve import fill

if TYPE_CHECKING:
    from ml.data.dataset import DatasetSummary
    from ml.search.schema import Dimension, Space, Sweep
    from ml.spec.catalog import Catalog
    from ml.spec.schema import Finetune

#: Ends of an automatic range of learning rates and weight decays: a tenth and ten times the value of the recipe.
RANGE_FACTOR: Final = 10.0
MAX_LEARNING_RATE: Final = 1.0
MAX_WEIGHT_DECAY: Final = 1.0
MAX_DROPOUT: Final = 0.6


def resolve_sweep(
    sweep: Sweep, resolved_job: Finetune, catalog: Catalog, dataset: DatasetSummary | None = None
) -> Sweep:
    """Fill every default of a sweep in which `check_sweep` has no finding.

    `resolved_job` is its job with all defaults. The job of the sweep stays as it is, since the defaults of a trial
    depend on its settings. Resolving a resolved sweep changes nothing.
    """
    requirements = Requirements.of(sweep.job, catalog, dataset)
    assert requirements is not None, "the sweep has been checked"
    if sweep.space == "auto":
        space = space_around(sweep.job, resolved_job, catalog, dataset)
    else:
        space = {path: _as_numbers(sweep, path, dimension, catalog) for path, dimension in sweep.space.items()}
    metrics = metrics_of(requirements)
    return sweep.model_copy(
        update={
            "space": space,
            "strategy": fill(sweep.strategy, catalog.strategies[sweep.strategy.name]),
            "metric": sweep.metric or next((name for name in metrics if is_higher_better(name)), metrics[0]),
            "halving": Halving() if sweep.halving is True else sweep.halving,
        }
    )


def space_around(job: Finetune, resolved_job: Finetune, catalog: Catalog, dataset: DatasetSummary | None) -> Space:
    """Return the space around the recipe of a job: task, architecture and tuning."""
    schedule = resolved_job.schedule
    assert schedule.learning_rate is not None, "the job is resolved"
    space: Space = {"schedule.learning_rate": _decades(schedule.learning_rate, MAX_LEARNING_RATE)}
    rows = dataset.splits.get("train") if dataset is not None else None
    if rows:
        size = schedule.batch_rows(rows)
        sizes = sorted({max(1, size // 2), size, min(2 * size, rows)})
        if len(sizes) > 1:
            space["schedule.batch_size"] = list(sizes)
    if schedule.weight_decay:
        space["schedule.weight_decay"] = _decades(schedule.weight_decay, MAX_WEIGHT_DECAY)
    tuning = catalog.tunings[job.tuning.name]
    for name, option in tuning.config_schema.get("properties", {}).items():
        value = resolved_job.tuning.config.get(name)
        if option.get("type") == "integer" and isinstance(value, int) and value > 1:
            space[f"tuning.config.{name}"] = [value // 2, value, min(2 * value, option.get("maximum", 2 * value))]
    # Options need the name of their architecture, which the job may leave to its task.
    if job.architecture is not None and len(resolved_job.architectures) == 1:
        config: dict[str, Any] = next(iter(resolved_job.architectures.values())).config
        if isinstance(config.get("dropout"), float) and config["dropout"] <= MAX_DROPOUT:
            space["architecture.config.dropout"] = SearchRange(low=0.0, high=MAX_DROPOUT)
    return space


def _decades(value: float, limit: float) -> SearchRange:
    low, high = value / RANGE_FACTOR, min(value * RANGE_FACTOR, max(limit, value))
    return SearchRange(low=float(f"{low:.3g}"), high=float(f"{high:.3g}"), log=True)


def _as_numbers(sweep: Sweep, path: str, dimension: Dimension, catalog: Catalog) -> Dimension:
    """Make a range one of real numbers, unless the setting is a whole number."""
    if not isinstance(dimension, SearchRange) or not accepts_fractions(sweep, path, dimension, catalog):
        return dimension
    return dimension.model_copy(update={"low": float(dimension.low), "high": float(dimension.high)})
