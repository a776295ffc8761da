"""From a bell to a settled job: claim it, watch its child, pass on what is asked of it, write down how it ended.

A thread of the worker does this for each run. It never trains, parses or holds data itself.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store import jobs
from store.database import reading, transaction
from store.errors import NotFound, StaleClaim
from store.notifications import notify_if_possible
from store.settings import store_settings
from worker.child_process import ChildProcess, environment_for_runs
from worker.concurrency import JobSlots
from worker.exit_status import ExitStatus, exit_description
from worker.job_kinds import PROGRAMS
from worker.retry import UNREACHABLE, cause_of, retrying_transaction
from worker.run_folder import run_folder
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.jobs import Claim

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1


class Supervisor:
    """Answers bells. After `drain` nothing is claimed any more and every run is asked to leave."""

    def __init__(self, name: str, settings: WorkerSettings) -> None:
        self.name = name
        self.settings = settings
        self.draining = threading.Event()
        self._slots = JobSlots(settings.job_slots)

    def drain(self) -> None:
        """Ask every run to save a checkpoint and leave; returns at once."""
        self.draining.set()

    def answer(self, job_id: str) -> None:
        """Run the job if it is still to be run, and those that waited for this slot meanwhile."""
        try:
            with reading() as session:
                kind = jobs.get(session, job_id).kind
        except NotFound:
            log.warning("a bell for %s, which does not exist", job_id)
            return
        if kind not in PROGRAMS:
            log.warning("%s is of the kind %s, which this worker does not know: left for a newer one", job_id, kind)
            return
        if not PROGRAMS[kind].takes_a_slot:
            self._run(job_id)
            return
        following = job_id if self._slots.enter(job_id) else None
        while following:
            self._run(following)
            following = self._slots.leave()

    def _run(self, job_id: str) -> None:
        if self.draining.is_set():
            # Another worker's bell then, or the next one's.
            notify_if_possible(job_id)
            return
        try:
            with transaction() as session:
                claim = jobs.claim(session, job_id, worker=self.name)
            if claim is None:
                log.info("%s: nothing to do", job_id)
                return
            Run(claim, self).see_through()
        except Exception:
            # The thread goes on to the next job; this one's lease runs out, and the reconciler takes it from there.
            log.exception("%s: supervision failed", job_id)


@dataclass
class Run:
    """One claim and its child."""

    claim: Claim
    supervisor: Supervisor
    requested: str | None = None
    _last_beat: float = field(default_factory=time.monotonic)
    _last_look: float = field(default_factory=time.monotonic)

    @property
    def _settings(self) -> WorkerSettings:
        return self.supervisor.settings

    def see_through(self) -> None:
        """Until the child has ended and the row says how."""
        self.requested = self.claim.requested
        log.info("%s: run %d starts", self.claim.job_id, self.claim.fence)
        try:
            self._watch()
        finally:
            shutil.rmtree(run_folder(self.claim.job_id, self.claim.fence), ignore_errors=True)

    def _watch(self) -> None:
        with self._start() as child:
            try:
                while not child.ended_within(TICK_SECONDS):
                    self._keep_the_lease()
                    self._pass_on(child)
            except StaleClaim:
                log.info("%s: the claim of run %d is over", self.claim.job_id, self.claim.fence)
                return
            error = child.last_words() or exit_description(child.status)
        # Only now, when nothing of its group is alive, may another run begin.
        log.info("%s: run %d ended with %d", self.claim.job_id, self.claim.fence, child.status)
        self._settle(child, error)

    def _start(self) -> ChildProcess:
        return ChildProcess(
            PROGRAMS[self.claim.kind].module,
            self.claim.job_id,
            str(self.claim.fence),
            environment=environment_for_runs(),
            log=store_settings().home / "logs" / f"{self.claim.job_id}.log",
        )

    def _keep_the_lease(self) -> None:
        now = time.monotonic()
        try:
            if now - self._last_beat >= self._settings.heartbeat_seconds:
                with transaction() as session:
                    self.requested = jobs.heartbeat(session, self.claim).requested
                self._last_beat = self._last_look = time.monotonic()
            elif now - self._last_look >= self._settings.request_seconds:
                with reading() as session:
                    self.requested = jobs.get(session, self.claim.job_id).requested
                self._last_look = time.monotonic()
        except UNREACHABLE as error:
            # An unreachable database is no verdict: checkpoints and fence protect the run for as long as that lasts.
            if now - self._last_beat > self._settings.database_patience_seconds:
                raise
            log.warning("%s: the database cannot be written: %s", self.claim.job_id, cause_of(error))

    def _pass_on(self, child: ChildProcess) -> None:
        if self.requested == "cancel":
            child.kill()
        elif self.requested == "pause" or self.supervisor.draining.is_set():
            child.ask_to_leave()
        elif self.requested == "stop":
            child.ask_to_finish()
        if child.seconds_leaving > self._settings.drain_seconds:
            child.kill()

    def _settle(self, child: ChildProcess, error: dict[str, Any]) -> None:
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
            log.warning("%s: run %d was settled by another", self.claim.job_id, self.claim.fence)
