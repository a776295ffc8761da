"""Supervises jobs: claims one, watches its child process, forwards requests, and records how it ended.

Each run has one thread of the worker, which never trains, parses or holds data itself.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from store import jobs, workers
from store.database import reading, transaction
from store.errors import BrokerUnavailable, StaleClaim
from store.notifications import notify, notify_if_possible
from store.settings import store_settings
from store.tables import FINAL_STATES, Lane, lane_of
from worker.child_process import ChildProcess, environment_for_runs
from worker.concurrency import JobSlots
from worker.exit_status import ExitStatus, exit_description
from worker.fork_server import ForkServer
from worker.job_kinds import PROGRAMS
from worker.reconciler import notify_due_jobs
from worker.retry import DATABASE_ERRORS, driver_error, retrying_transaction
from worker.run_folder import run_folder
from worker.settings import WorkerSettings
from worker.tracing.job_tracer import open_job_tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy.orm import Session

    from store.jobs import Claim

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1


class Supervisor:
    """Handles notifications. After `drain` it claims nothing more, and requests every run to leave."""

    def __init__(self, name: str, settings: WorkerSettings) -> None:
        self.name = name
        self.settings = settings
        self.draining = threading.Event()
        sizes = {Lane.COMPUTING: settings.job_slots, Lane.IMPORTING: settings.import_slots}
        self._slots = {lane: JobSlots(size) for lane, size in sizes.items() if size}
        self.fork_server = ForkServer(environment_for_runs()) if settings.warm_worker else None
        self.tracer = open_job_tracer(name)

    def drain(self) -> None:
        """Request every run to save a checkpoint and exit; returns at once."""
        self.draining.set()

    def close(self) -> None:
        """End the fork server, whose runs continue, and send the last spans."""
        if self.fork_server:
            self.fork_server.close()
        if self.tracer:
            self.tracer.close()

    @property
    def lanes(self) -> list[Lane]:
        """The lanes with slots, and that of sweeps where the worker runs their trials."""
        return [*self._slots, *([Lane.COORDINATING] if Lane.COMPUTING in self._slots else [])]

    def wake(self) -> None:
        """Send a message for each slot.

        Those of jobs that wait may have gone to a worker that has died.
        """
        try:
            for lane, slots in self._slots.items():
                for _ in range(slots.size):
                    notify("", lane)
        except BrokerUnavailable as error:
            log.warning("jobs that wait are looked for later: %s", error)

    def handle(self, job_id: str, lane: Lane) -> None:
        """Run the jobs of a lane in their order until none is due.

        In the lane of sweeps, only the job of the message is run. In others it may be empty.
        """
        if self.draining.is_set():
            # For another worker, or for the next process of this one.
            notify_if_possible(job_id, lane)
            return
        slots = self._slots.get(lane)
        if slots is None:
            self._run(lambda session: jobs.claim(session, job_id, worker=self.name))
            return
        is_free = not slots.acquire()
        while not is_free:
            while not self.draining.is_set() and self._run(partial(self._claim_next, lane)):
                pass
            is_free = slots.release()

    def _claim_next(self, lane: Lane, session: Session) -> Claim | None:
        kinds = [kind for kind in PROGRAMS if lane_of(kind) is lane]
        devices = self._devices_of_others(session) if lane is Lane.COMPUTING else ()
        return jobs.claim_next(session, lane, worker=self.name, kinds=kinds, excluded_devices=devices)

    def _devices_of_others(self, session: Session) -> Collection[int]:
        """Return the numbers of devices that only other workers have for one training."""
        offers = {worker.name: worker.devices or 1 for worker in workers.list_alive(session)}
        largest = max(offers.values(), default=1)
        return range(offers.get(self.name, largest) + 1, largest + 1)

    def _run(self, claim_job: Callable[[Session], Claim | None]) -> bool:
        """Run the job that is claimed, if any; return whether one was."""
        claim = None
        try:
            with transaction() as session:
                claim = claim_job(session)
            if claim is None:
                return False
            with nullcontext() if self.tracer is None else self.tracer.trace(claim):
                Run(claim, self).supervise()
            self._ring(claim)
            if self.fork_server and not self.draining.is_set():
                # A dataset is often followed by a training.
                self.fork_server.start()
        except Exception:
            # This thread continues with the next job. The lease of this one expires, and the reconciler requeues it.
            log.exception("%s: supervision failed", claim.job_id if claim else "no job is claimed")
        return claim is not None

    def _ring(self, claim: Claim) -> None:
        """Notify the workers of what a run has made due, as it has no broker."""
        if self.draining.is_set():
            return
        if lane_of(claim.kind) is Lane.COMPUTING:
            with transaction() as session:
                jobs.ring_suspended(session)
        notify_due_jobs()


@dataclass
class Run:
    """One claim of a job and its child process."""

    claim: Claim
    supervisor: Supervisor
    requested: str | None = None
    _renewed_at: float = field(default_factory=time.monotonic)
    _checked_at: float = field(default_factory=time.monotonic)

    @property
    def _settings(self) -> WorkerSettings:
        return self.supervisor.settings

    def supervise(self) -> None:
        """Run the child to its end and record the result; deletes the scratch folder."""
        self.requested = self.claim.requested
        log.info("%s: run %d starts", self.claim.job_id, self.claim.fence)
        try:
            self._watch()
        finally:
            shutil.rmtree(run_folder(self.claim.job_id, self.claim.fence), ignore_errors=True)

    def _watch(self) -> None:
        with self._start() as child:
            try:
                while not child.wait(TICK_SECONDS):
                    self._renew_lease()
                    self._forward_request(child)
            except StaleClaim:
                if self._has_recorded_end() and child.wait(self._settings.clean_up_seconds):
                    return
                log.info("%s: run %d has lost its claim", self.claim.job_id, self.claim.fence)
                return
            error = child.receive_error() or exit_description(child.status)
        # Only now, as no process of its group is alive, may another run begin.
        log.info("%s: run %d ended with %d", self.claim.job_id, self.claim.fence, child.status)
        self._record_end(child, error)

    def _has_recorded_end(self) -> bool:
        """Return whether this run has ended or suspended its job.

        Its process may still clean up.
        """
        with reading() as session:
            job = jobs.get(session, self.claim.job_id)
            has_left = job.state in FINAL_STATES or job.lease_until is None
            return job.fence == self.claim.fence and has_left

    def _start(self) -> ChildProcess:
        program = PROGRAMS[self.claim.kind]
        server = self.supervisor.fork_server
        if server and program.imports_torch:
            server.start()
        return ChildProcess(
            program.module,
            self.claim.job_id,
            str(self.claim.fence),
            environment=environment_for_runs(),
            log=store_settings().home / "logs" / f"{self.claim.job_id}.log",
            # Without torch, a new process is faster than the imports of the fork server.
            fork_server=server if server and (program.imports_torch or server.is_ready) else None,
        )

    def _renew_lease(self) -> None:
        now = time.monotonic()
        try:
            if now - self._renewed_at >= self._settings.heartbeat_seconds:
                with transaction() as session:
                    self.requested = jobs.heartbeat(session, self.claim).requested
                self._renewed_at = self._checked_at = time.monotonic()
            elif now - self._checked_at >= self._settings.request_seconds:
                with reading() as session:
                    self.requested = jobs.get(session, self.claim.job_id).requested
                self._checked_at = time.monotonic()
        except DATABASE_ERRORS as error:
            # An unavailable database does not end the run: checkpoints and the fence protect it meanwhile.
            if now - self._renewed_at > self._settings.database_patience_seconds:
                raise
            log.warning("%s: the database cannot be written: %s", self.claim.job_id, driver_error(error))

    def _forward_request(self, child: ChildProcess) -> None:
        if self.requested == "cancel":
            child.kill()
        elif self.requested == "pause" or self.supervisor.draining.is_set():
            child.request_leave()
        elif self.requested == "stop":
            child.request_finish()
        if child.seconds_since_leave_request > self._settings.drain_seconds:
            child.kill()

    def _record_end(self, child: ChildProcess, error: dict[str, Any]) -> None:
        status = child.status

        def write(session: Session) -> None:
            if self.requested == "cancel":
                jobs.finish_cancelled(session, self.claim)
            elif status == ExitStatus.LEFT or child.was_killed:
                jobs.release(session, self.claim, crashed=False, error=None, delay_seconds=0)
            elif status in (ExitStatus.BAD_DATA, ExitStatus.BAD_SPEC):
                jobs.fail(session, self.claim, error=error)
            elif status == ExitStatus.NO_SPACE:
                delay_seconds = self._settings.space_backoff_seconds
                jobs.release(session, self.claim, crashed=False, error=error, delay_seconds=delay_seconds)
            else:
                delay_seconds = self._settings.crash_backoff_seconds * 2**self.claim.crashes
                jobs.release(session, self.claim, crashed=True, error=error, delay_seconds=delay_seconds)

        if status in (ExitStatus.DONE, ExitStatus.FENCED):
            return
        try:
            retrying_transaction(write)
        except StaleClaim:
            log.warning("%s: the end of run %d was recorded by another worker", self.claim.job_id, self.claim.fence)
