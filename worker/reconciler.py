"""What nobody else looks after: runs whose worker is lost, and bells that nobody heard.

Every worker does it: the rows are locked while they are changed, so what one takes up no other does. Files are swept
up by the eldest alone.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Self

from store import jobs, workers
from store.database import transaction
from store.errors import BrokerUnavailable
from store.notifications import notify, queue_length
from worker.garbage_collection import sweep
from worker.retry import UNREACHABLE, cause_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

SWEEP_EVERY_SECONDS = 600.0


class Reconciler:
    """A thread of the worker, for as long as the context lasts."""

    def __init__(self, name: str, settings: WorkerSettings) -> None:
        self.name = name
        self.settings = settings
        self._over = threading.Event()
        self._swept_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="reconciler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(self.settings.reconcile_seconds)

    def _work(self) -> None:
        while not self._over.is_set():
            self._try(self.look)
            self._over.wait(self.settings.reconcile_seconds)
        self._try(self._leave)

    def _try(self, action: Callable[[], None]) -> None:
        """Whatever fails is tried again in the next round: this thread must outlive every fault around it."""
        try:
            action()
        except UNREACHABLE as error:
            log.warning("the database cannot be written: %s", cause_of(error))
        except Exception:
            log.exception("reconciling failed")

    def look(self) -> None:
        """One round."""
        with transaction() as session:
            is_eldest = workers.heartbeat(session, self.name, slots=self.settings.job_slots)
        with transaction() as session:
            lost = jobs.requeue_expired(session)
        for job_id in lost:
            log.warning("%s: its worker fell silent", job_id)
        self._ring_what_is_due()
        if is_eldest and time.monotonic() - self._swept_at >= SWEEP_EVERY_SECONDS:
            self._swept_at = time.monotonic()
            sweep()

    def _ring_what_is_due(self) -> None:
        try:
            messages_waiting = queue_length()
            with transaction() as session:
                due = jobs.jobs_to_notify(session, messages_waiting=messages_waiting)
            for job_id in due:
                notify(job_id)
        except BrokerUnavailable as error:
            log.warning("no bell can be rung: %s", error)

    def _leave(self) -> None:
        with transaction() as session:
            workers.remove(session, self.name)
