"""Completion of names in the shell: jobs, models, datasets, catalog entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plinth.client.client import Plinth

TIMEOUT_SECONDS = 2.0
MAX_NAMES = 50


def job_ids(incomplete: str) -> list[str]:
    """Complete the id of one of the newest jobs, or `last`."""
    return _complete(incomplete, lambda plinth: ["last", *(job.id for job in plinth.jobs.list(limit=MAX_NAMES))])


def model_references(incomplete: str) -> list[str]:
    """Complete a model by name, and behind `@` by alias and version."""

    def names(plinth: Plinth) -> Iterable[str]:
        name, at, _ = incomplete.partition("@")
        if not at:
            return [model.name for model in plinth.models.list(limit=MAX_NAMES)]
        aliases = [alias for model in plinth.models.list(limit=None) if model.name == name for alias in model.aliases]
        return [f"{name}@{selector}" for selector in [*aliases, *(row.version for row in plinth.models.versions(name))]]

    return _complete(incomplete, names)


def dataset_references(incomplete: str) -> list[str]:
    """Complete a dataset by name, and behind `@` by version."""

    def names(plinth: Plinth) -> Iterable[str]:
        name, at, _ = incomplete.partition("@")
        datasets = plinth.datasets.list(name=name if at else None, limit=MAX_NAMES)
        return [f"{dataset.name}@{dataset.version}" if at else dataset.name for dataset in datasets]

    return _complete(incomplete, names)


def catalog_names(incomplete: str) -> list[str]:
    """Complete a section or an entry of the catalog."""

    def names(plinth: Plinth) -> Iterable[str]:
        catalog = plinth.catalog()
        return [*catalog, *(name for entries in catalog.values() for name in entries)]

    return _complete(incomplete, names)


def _complete(incomplete: str, names: Callable[[Plinth], Iterable[str]]) -> list[str]:
    """Return the names that begin with `incomplete`.

    Without a service there are none, as a shell shows no error.
    """
    from plinth.client.client import Plinth
    from plinth.client.errors import PlinthError

    try:
        with Plinth(timeout_seconds=TIMEOUT_SECONDS) as plinth:
            return [name for name in dict.fromkeys(names(plinth)) if name.startswith(incomplete)]
    except (PlinthError, OSError, ValueError):
        return []
