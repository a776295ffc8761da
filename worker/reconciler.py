"""The reconciler: requeues runs whose lease has expired, and sends lost notifications again.

Every worker does so: rows are locked while they change, so that two workers never handle the same one. Garbage that
they share is collected by the oldest worker alone.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from store import jobs, workers
from store.database import transaction
from store.errors import BrokerUnavailable
from store.notifications import notify, queue_lengths
from worker.adaptation.loop import adapt_models
from worker.device_offer import offered_devices
from worker.garbage_collection import collect_garbage, collect_local_garbage
from worker.retry import DATABASE_ERRORS, driver_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

GARBAGE_COLLECTION_SECONDS = 600.0


class Reconciler:
    """A thread of the worker that runs until the context is left."""

    def __init__(self, name: str, settings: WorkerSettings) -> None:
        self.name = name
        self.settings = settings
        self._stop = threading.Event()
        self._collected_at = self._adapted_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="reconciler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self.settings.reconcile_seconds)

    def _work(self) -> None:
        while not self._stop.is_set():
            self._try(self.reconcile)
            self._stop.wait(self.settings.reconcile_seconds)
        self._try(self._remove_worker)

    def _try(self, action: Callable[[], None]) -> None:
        """Log a failed action.

        It is repeated in the next round, as this thread must survive every fault.
        """
        try:
            action()
        except DATABASE_ERRORS as error:
            log.warning("the database cannot be written: %s", driver_error(error))
        except Exception:
            log.exception("reconciling failed")

    def reconcile(self) -> None:
        """Do one round: heartbeat, expired leases, due notifications, watches, garbage."""
        devices = offered_devices(self.settings)
        with transaction() as session:
            is_oldest = workers.heartbeat(session, self.name, slots=self.settings.job_slots, devices=devices)
        with transaction() as session:
            expired = jobs.requeue_expired(session)
            jobs.correct_lanes(session)
        for job_id in expired:
            log.warning("%s: its worker stopped renewing the lease; the job is queued again", job_id)
        notify_due_jobs()
        if is_oldest and time.monotonic() - self._adapted_at >= self.settings.watch_seconds:
            self._adapted_at = time.monotonic()
            adapt_models()
        if time.monotonic() - self._collected_at >= GARBAGE_COLLECTION_SECONDS:
            self._collected_at = time.monotonic()
            collect_local_garbage()
            if is_oldest:
                collect_garbage()

    def _remove_worker(self) -> None:
        with transaction() as session:
            workers.remove(session, self.name)


def notify_due_jobs() -> None:
    """Notify the workers of every job that is due, or log why not."""
    try:
        for lane, messages_waiting in queue_lengths().items():
            with transaction() as session:
                due = jobs.jobs_to_notify(session, lane, messages_waiting=messages_waiting)
            for job_id in due:
                notify(job_id, lane)
    except BrokerUnavailable as error:
        log.warning("no notification can be sent: %s", error)
