"""The sender of webhooks: takes due deliveries from the database, and sends them.

Any number of senders work on one database. A delivery is claimed for a time, so that that of a sender which died is
sent by another, with the same `webhook-id`: receivers ignore an id that they have handled.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from plinth import __version__
from store.database import reading, transaction
from store.settings import store_settings
from store.webhooks import deliveries
from worker.retry import DATABASE_ERRORS, driver_error
from worker.webhooks.post import PostFailed, PostResponse, post
from worker.webhooks.signature import signed_headers

if TYPE_CHECKING:
    from types import TracebackType

    from store.webhooks.deliveries import Attempt

log = logging.getLogger(__name__)

#: Time between two looks for due deliveries.
POLL_SECONDS: Final = 1.0
#: Deliveries that are sent at once.
MAX_PARALLEL: Final = 16
#: Time that a stop waits for requests in progress; others send again what it leaves.
STOP_SECONDS: Final = 5.0


class WebhookSender:
    """Threads of the worker that run until the context is left."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        #: Delivery -> webhook of the attempts in progress.
        self._in_progress: dict[str, str] = {}
        self._executor = ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while self._in_progress and time.monotonic() < deadline:
            time.sleep(0.05)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                self.send_due()
            except DATABASE_ERRORS as error:
                log.warning("webhooks: the database cannot be used: %s", driver_error(error))
            except Exception:  # this thread must survive every fault, as that of the reconciler
                log.exception("sending webhooks failed")
            self._stop.wait(POLL_SECONDS)

    def send_due(self) -> None:
        """Claim what is due, as far as threads are free, and start to send it."""
        with self._lock:
            free = MAX_PARALLEL - len(self._in_progress)
            webhooks = list(self._in_progress.values())
        if free <= 0:
            return
        with reading() as session:
            if not deliveries.has_due(session):
                return
        with transaction() as session:
            attempts = deliveries.claim_due(session, limit=free, in_progress=webhooks)
        for attempt in attempts:
            with self._lock:
                self._in_progress[attempt.delivery_id] = attempt.webhook_id
            self._executor.submit(self._send, attempt)

    def _send(self, attempt: Attempt) -> None:
        try:
            _record(attempt, _post(attempt))
        except DATABASE_ERRORS as error:
            log.warning("%s: its result cannot be stored; it is sent again: %s", attempt, driver_error(error))
        except Exception:  # the executor would drop it; the claim expires, and the delivery is sent again
            log.exception("%s failed", attempt)
        finally:
            with self._lock:
                self._in_progress.pop(attempt.delivery_id, None)


def _post(attempt: Attempt) -> PostResponse | PostFailed:
    payload = attempt.payload.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Plinth/{__version__}",
        **signed_headers(attempt.delivery_id, payload, secret=attempt.secret, timestamp=int(time.time())),
    }
    try:
        return post(attempt.url, payload, headers, networks=store_settings().webhook_networks())
    except PostFailed as error:
        return error


def _record(attempt: Attempt, result: PostResponse | PostFailed) -> None:
    """Store the result of an attempt; a status of 2xx is a success."""
    days = store_settings().webhook_disable_days
    with transaction() as session:
        if isinstance(result, PostFailed):
            disabled = deliveries.fail(session, attempt, error=str(result), disable_after_days=days)
        elif 200 <= result.status < 300:
            deliveries.succeed(session, attempt, status=result.status)
            return
        else:
            error = f"the receiver responded with status {result.status}"
            if 300 <= result.status < 400:
                error += "; redirects are not followed"
            disabled = deliveries.fail(
                session,
                attempt,
                error=error,
                status=result.status,
                wait_seconds=result.wait_seconds,
                disable_after_days=days,
            )
    if disabled:
        log.warning("%s is disabled: %s", attempt.webhook_id, disabled)
