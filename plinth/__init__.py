"""Plinth's client: `from plinth import Plinth`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plinth.client.client import Plinth as Plinth
    from plinth.client.errors import DatasetRejected as DatasetRejected
    from plinth.client.errors import JobFailed as JobFailed
    from plinth.client.errors import PlinthError as PlinthError

_HOMES = {
    "Plinth": "plinth.client.client",
    "PlinthError": "plinth.client.errors",
    "DatasetRejected": "plinth.client.errors",
    "JobFailed": "plinth.client.errors",
}
__all__ = ["DatasetRejected", "JobFailed", "Plinth", "PlinthError"]


def __getattr__(name: str) -> Any:
    # On demand, so that `plinth --help` does not wait for an HTTP library.
    if name not in _HOMES:
        raise AttributeError(f"module 'plinth' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
