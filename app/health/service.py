"""State of the service: readiness of its parts, and what runs in the installation."""

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
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from app.health.schemas import Device, LoadedModel, Part, Readiness, System, Worker
from app.http.errors import ProblemError
from plinth import __version__
from store import jobs, notifications, workers
from store.__main__ import check
from store.database import reading
from store.errors import BrokerUnavailable

if TYPE_CHECKING:
    from app.http.problem_codes import ProblemCode
    from app.serving.model_pool import ModelPool

READINESS_SECONDS: Final = 2.0
DEVICE_TIMEOUT_SECONDS: Final = 60
#: Prints the training device as JSON. Run in a process of its own: torch is never imported into this one.
DEVICE_MODULE: Final = "worker.jobs.device_probe"
#: Parts without which the API cannot handle requests; without the others, jobs wait.
REQUIRED_PARTS: Final = ("database", "blobs")

#: Concurrent requests share one look-up, which imports torch in a process of its own.
_device_lock = threading.Lock()

T = TypeVar("T")


class CachedResult(Generic[T]):
    """The result of a blocking function, cached for some seconds; concurrent callers share one call."""

    def __init__(self, compute: Callable[[], T], *, ttl_seconds: float) -> None:
        self._compute = compute
        self._ttl_seconds = ttl_seconds
        self._lock = threading.Lock()
        self._expiry = 0.0
        self._result: T | None = None

    def __call__(self) -> T:
        """Return a result that is at most `ttl_seconds` old."""
        with self._lock:
            if self._result is None or time.monotonic() >= self._expiry:
                self._result = self._compute()
                self._expiry = time.monotonic() + self._ttl_seconds
            return self._result

    def clear(self) -> None:
        """Compute the result again at the next call."""
        self._expiry = 0.0


def _check() -> Readiness:
    parts = {name: Part.model_validate(part) for name, part in check().items()}
    parts["workers"] = _workers()
    return Readiness(ready=all(parts[name].ok for name in REQUIRED_PARTS), **parts)


def _workers() -> Part:
    try:
        with reading() as session:
            names = [worker.name for worker in workers.list_alive(session)]
    except SQLAlchemyError:
        return Part(ok=False, detail="unknown: the database is unavailable", fix="Repair the database first.")
    if not names:
        return Part(ok=False, detail="no worker: jobs wait", fix="Start one: `plinth up`, or `python -m worker`.")
    return Part(ok=True, detail=", ".join(names))


def hide_details(readiness: Readiness) -> Readiness:
    """Return whether each part works, without paths, addresses and names of hosts.

    Anybody may read it; `plinth doctor` and the page show the details to who has a key.
    """
    parts = {name: part for name, part in readiness if name != "ready"}
    hidden = {
        name: Part(ok=part.ok, detail="available" if part.ok else "not available", fix=part.fix)
        for name, part in parts.items()
    }
    return Readiness(ready=readiness.ready, **hidden)


#: State of all parts of the service, checked at most every `READINESS_SECONDS`.
readiness = CachedResult(_check, ttl_seconds=READINESS_SECONDS)


def require_ready() -> None:
    """Raise `ProblemError` 503 if the API cannot handle requests."""
    current = readiness()
    if not current.ready:
        code: ProblemCode = "storage_unavailable" if current.database.ok else "database_unavailable"
        part = "Blob storage" if current.database.ok else "The database"
        detail = f"{part} is unavailable. Try again in a moment; see /readyz."
        raise ProblemError(503, code, detail, headers={"Retry-After": "2"})


def read_system(pool: ModelPool, *, with_device: bool) -> System:
    """Describe the installation. The database connection is released before anything slow starts."""
    with reading() as session:
        counts = jobs.count_by_state(session, with_validations=False)
        alive = [
            Worker(
                name=row.name,
                slots=row.slots,
                devices=row.devices,
                started_at=row.started_at,
                seen_at=row.seen_at,
            )
            for row in workers.list_alive(session)
        ]
    return System(
        version=__version__,
        python=platform.python_version(),
        device=training_device() if with_device else None,
        workers=alive,
        jobs=counts,
        queue_length=_queue_length(),
        loaded_models=[
            LoadedModel(name=model.served.name, version=model.served.version, bytes=model.bytes)
            for model in pool.list_loaded()
        ],
    )


def _queue_length() -> int | None:
    try:
        return notifications.queue_length()
    except BrokerUnavailable:
        return None


def training_device() -> Device | None:
    """Return the device that training uses, looked up once; None without a working torch."""
    with _device_lock:
        return _look_up_device()


@cache
def _look_up_device() -> Device | None:
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        command = [sys.executable, "-m", DEVICE_MODULE]
        process = subprocess.run(command, capture_output=True, check=True, timeout=DEVICE_TIMEOUT_SECONDS)
        return Device.model_validate(json.loads(process.stdout))
    except (subprocess.SubprocessError, ValueError):
        return None
