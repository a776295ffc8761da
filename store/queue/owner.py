"""The API key for which this code runs, which owns the jobs that it submits."""

from __future__ import annotations

from contextvars import ContextVar

#: Id of the key, which the gateway sets for a request; empty where the service itself submits.
current_owner: ContextVar[str] = ContextVar("current_owner", default="")
