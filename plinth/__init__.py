"""Python client of Plinth: `from plinth import Plinth`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plinth.client.client import Plinth as Plinth
    from plinth.client.errors import APIError as APIError
    from plinth.client.errors import Conflict as Conflict
    from plinth.client.errors import DatasetRejected as DatasetRejected
    from plinth.client.errors import JobFailed as JobFailed
    from plinth.client.errors import NotFinished as NotFinished
    from plinth.client.errors import NotFound as NotFound
    from plinth.client.errors import PlinthError as PlinthError
    from plinth.client.errors import Unauthorized as Unauthorized
    from plinth.client.errors import Unreachable as Unreachable

__version__ = "0.2.0"  # the only place: the wheel, the API and the container images read it
__all__ = [
    "APIError",
    "Conflict",
    "DatasetRejected",
    "JobFailed",
    "NotFinished",
    "NotFound",
    "Plinth",
    "PlinthError",
    "Unauthorized",
    "Unreachable",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `plinth --help` does not wait for an HTTP library.
    if name not in __all__:
        raise AttributeError(f"module 'plinth' has no attribute {name!r}")
    return getattr(import_module("plinth.client.client" if name == "Plinth" else "plinth.client.errors"), name)
