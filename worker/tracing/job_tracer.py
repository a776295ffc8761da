"""Spans of jobs: `job.queued`, `job.run`, and what the run did.

The supervisor makes them of the job's row and events. The run itself knows nothing of tracing: it stays without a
thread, without the address and the credentials of a collector, and its spans survive its death.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from store import job_events, jobs
from store.database import reading
from store.errors import NotFound
from store.tables import FINAL_STATES
from store.telemetry.configuration import open_tracer
from worker.retry import DATABASE_ERRORS, driver_error
from worker.tracing.phase_spans import Period, arrange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from store.jobs import Claim
    from store.telemetry.current_span import Attributes
    from store.telemetry.tracer import ActiveSpan, Tracer

#: Name of the worker in traces, unless `OTEL_SERVICE_NAME` says otherwise.
SERVICE: Final = "plinth-worker"

log = logging.getLogger(__name__)


class JobTracer:
    """Makes the spans of the runs of one worker."""

    def __init__(self, tracer: Tracer, *, worker: str) -> None:
        self._tracer = tracer
        self._worker = worker

    def close(self) -> None:
        """Send the last spans."""
        self._tracer.close()

    @contextmanager
    def trace(self, claim: Claim) -> Iterator[None]:
        """Make the spans of a run.

        That of its time in the queue is made at its start, all others at its end.
        """
        start_ns = time.time_ns()
        attributes = {**_describe(claim), "plinth.job.worker": self._worker}
        parent, first_event = self._record_queued(claim, start_ns, attributes)
        span = self._tracer.start("job.run", parent=parent, start_ns=start_ns, attributes=attributes)
        try:
            yield
        finally:
            try:
                self._finish(span, claim, start_ns, after=first_event)
            except NotFound:
                span.end()
            except DATABASE_ERRORS as error:
                log.warning("%s: its span has no end: %s", claim.job_id, driver_error(error))
                span.end()

    def _record_queued(self, claim: Claim, end_ns: int, attributes: Attributes) -> tuple[str | None, int]:
        """Record the time in the queue.

        Returns the parent of the run, and the number of the event with which it began. A job that no span caused
        begins a trace by its time in the queue.
        """
        try:
            with reading() as session:
                started, *before = job_events.last_states(session, claim.job_id)
                queued_at = next((row.created_at for row in before if row.data["state"] == "queued"), None)
                number = started.number
        except DATABASE_ERRORS as error:
            log.warning("%s: its time in the queue has no span: %s", claim.job_id, driver_error(error))
            return claim.traceparent, 0
        # A sweep that was suspended has been in no queue.
        if queued_at is None:
            return claim.traceparent, number
        queued = self._tracer.record(
            "job.queued", parent=claim.traceparent, start_ns=_to_ns(queued_at), end_ns=end_ns, attributes=attributes
        )
        return claim.traceparent or queued.traceparent, number

    def _finish(self, span: ActiveSpan, claim: Claim, start_ns: int, *, after: int) -> None:
        with reading() as session:
            job = jobs.get(session, claim.job_id)
            fence, state, reason, error = job.fence, job.state, job.reason, job.error
            starts = job_events.phases(session, claim.job_id, after=after)
        end_ns = time.time_ns()
        begins = [(start.phase, start.epoch, _to_ns(start.started_at)) for start in starts]
        self._record_phases(span.traceparent, arrange(begins, start_ns=start_ns, end_ns=end_ns))
        if fence != claim.fence:
            span.end(end_ns=end_ns, error="claim_lost")
            return
        is_final = state in FINAL_STATES
        span.annotate({"plinth.job.state": state} | ({"plinth.job.reason": reason} if reason else {}))
        has_failed = state == "failed" or (not is_final and error is not None)
        span.end(end_ns=end_ns, error=str((error or {}).get("code", "failed")) if has_failed else None)

    def _record_phases(self, parent: str, periods: list[Period]) -> None:
        for period in periods:
            attributes = {} if period.epoch is None else {"plinth.job.epoch": period.epoch}
            recorded = self._tracer.record(
                period.name, parent=parent, start_ns=period.start_ns, end_ns=period.end_ns, attributes=attributes
            )
            self._record_phases(recorded.traceparent, period.epochs)


def open_job_tracer(worker: str) -> JobTracer | None:
    """Create the tracer of a worker by its name; None where traces are not sent."""
    tracer = open_tracer(SERVICE)
    return None if tracer is None else JobTracer(tracer, worker=worker)


def _describe(claim: Claim) -> Attributes:
    attributes: dict[str, str | int] = {
        "plinth.job.id": claim.job_id,
        "plinth.job.kind": claim.kind,
        "plinth.job.attempt": claim.fence,
    }
    if claim.model_name is not None:
        attributes["plinth.model.name"] = claim.model_name
    if claim.parent_id is not None:
        attributes["plinth.job.parent_id"] = claim.parent_id
    return attributes


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
