"""How the service is doing, asked no more often than is useful."""

from __future__ import annotations

import importlib.util
import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from app.health.schemas import Device, LoadedModel, Part, Readiness, System, Worker
from plinth import __version__
from store import jobs, notifications, workers
from store.__main__ import check
from store.database import reading
from store.errors import BrokerUnavailable

if TYPE_CHECKING:
    from app.serving.model_pool import ModelPool

KEPT_SECONDS = 2.0
DEVICE_TIMEOUT_SECONDS = 60
NEEDED = ("database", "blobs")
"""Without these the API can do nothing; without the others, jobs wait."""

T = TypeVar("T")


class Kept(Generic[T]):
    """An answer that is asked for anew only when it is old; many at once ask once."""

    def __init__(self, ask: Callable[[], T], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._until = 0.0
        self._answer: T | None = None

    def __call__(self) -> T:
        """The answer, at most `seconds` old."""
        with self._lock:
            if self._answer is None or time.monotonic() >= self._until:
                self._answer = self._ask()
                self._until = time.monotonic() + self._seconds
            return self._answer

    def forget(self) -> None:
        """Ask anew next time."""
        self._until = 0.0


def _check() -> Readiness:
    parts = {name: Part.model_validate(part) for name, part in check().items()}
    parts["workers"] = _workers()
    return Readiness(ready=all(parts[name].ok for name in NEEDED), **parts)


def _workers() -> Part:
    try:
        with reading() as session:
            names = [worker.name for worker in workers.list_alive(session)]
    except SQLAlchemyError:
        return Part(ok=False, detail="unknown: the database does not answer", fix="Mend the database first.")
    if not names:
        return Part(ok=False, detail="none is here: jobs wait", fix="Start one: `plinth up`, or `python -m worker`.")
    return Part(ok=True, detail=", ".join(names))


readiness = Kept(_check, seconds=KEPT_SECONDS)
"""Whether the API can do its work, part by part."""


def system(pool: ModelPool) -> System:
    """What runs here. The database is let go of before anything slow is asked."""
    with reading() as session:
        counts = jobs.count_by_state(session)
        present = [
            Worker(name=row.name, slots=row.slots, started_at=row.started_at, seen_at=row.seen_at)
            for row in workers.list_alive(session)
        ]
    return System(
        version=__version__,
        python=platform.python_version(),
        device=device(),
        workers=present,
        jobs=counts,
        queue_length=_queue_length(),
        loaded_models=[
            LoadedModel(name=each.served.name, version=each.served.version, bytes=each.bytes) for each in pool.loaded()
        ],
    )


def _queue_length() -> int | None:
    try:
        return notifications.queue_length()
    except BrokerUnavailable:
        return None


@cache
def device() -> Device | None:
    """What training runs on here, and why. Asked of a process of its own: torch never comes into this one."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "worker.jobs.device"],
            capture_output=True,
            check=True,
            timeout=DEVICE_TIMEOUT_SECONDS,
        )
        return Device.model_validate(json.loads(asked.stdout))
    except (subprocess.SubprocessError, ValueError):
        return None
