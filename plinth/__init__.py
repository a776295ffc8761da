"""Plinth's client: `from plinth import Plinth`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plinth.client import Plinth as Plinth
    from plinth.errors import DatasetRejected as DatasetRejected
    from plinth.errors import JobFailed as JobFailed
    from plinth.errors import PlinthError as PlinthError

_HOMES = {
    "Plinth": "plinth.client",
    "PlinthError": "plinth.errors",
    "DatasetRejected": "plinth.errors",
    "JobFailed": "plinth.errors",
}
__all__ = ["DatasetRejected", "JobFailed", "Plinth", "PlinthError"]


def __getattr__(name: str) -> Any:
    # On demand, so that `plinth --help` does not wait for an HTTP library.
    if name not in _HOMES:
        raise AttributeError(f"module 'plinth' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
