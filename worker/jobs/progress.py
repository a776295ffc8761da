"""Reports the progress of a run to the database.

Every write is conditional on the claim.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from store import jobs
from store.database import transaction
from worker.retry import DATABASE_ERRORS, driver_error, retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ml.learning.training.progress import Progress
    from store.blobs import Blobs
    from store.jobs import Claim

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
PROGRESS_FIELDS = ("epoch", "epochs", "step", "steps", "samples_per_second", "eta_seconds", "phase")


@dataclass
class ProgressReporter:
    """Writes the progress of a training, at most once a second.

    The trainer calls it in its own thread.

    While the database is unavailable everything is held back, in order. Raises `StaleClaim` once the claim is lost.
    """

    claim: Claim
    blobs: Blobs
    #: CPU time of earlier runs of the job.
    earlier_cpu_seconds: float = 0.0
    _last: Progress | None = None
    _progress: dict[str, Any] | None = None
    _metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    _events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _checkpoints: list[tuple[int, str, str]] = field(default_factory=list)
    _written_at: float = 0.0

    def __call__(self, progress: Progress) -> None:
        """Record progress.

        Write it at once if a user may wait for it, else once a second has passed.
        """
        is_urgent = self._is_urgent(progress)
        # With the other processes of a training on several devices, once they have ended.
        cpu_seconds = round(self.earlier_cpu_seconds + sum(os.times()[:4]), 1)
        self._last, self._progress = progress, {**_to_json(progress), "cpu_seconds": cpu_seconds}
        if progress.metrics:
            self._metrics.append((progress.step, progress.metrics))
        if progress.message:
            # The step tells which metrics a message such as the end of an epoch is about.
            self._events.append(("log", {"message": progress.message, "step": progress.step}))
        if progress.checkpoint:
            self._publish(progress.step, progress.checkpoint)
        if is_urgent or time.monotonic() - self._written_at >= WRITE_SECONDS:
            self.write()

    def enter_phase(self, phase: str) -> None:
        """Report that a phase begins after the last one of the trainer."""
        if self._last is not None:
            self(replace(self._last, phase=phase, metrics={}, checkpoint=None, message=None))

    def _is_urgent(self, progress: Progress) -> bool:
        """Return whether progress has a checkpoint, a new phase, or the first step."""
        last = self._last
        return bool(progress.checkpoint) or not last or last.phase != progress.phase or (last.step == 0 < progress.step)

    def log(self, message: str) -> None:
        """Write a line to the job's log."""
        self._events.append(("log", {"message": message}))
        self.write()

    def write(self) -> None:
        """Write everything held back, in one transaction; log a warning if the database is unavailable."""
        try:
            with transaction() as session:
                outdated = self._write_into(session)
        except DATABASE_ERRORS as error:
            log.warning("the database cannot be written, retrying later: %s", driver_error(error))
            return
        finally:
            self._written_at = time.monotonic()
        self._progress, self._metrics, self._events, self._checkpoints = None, [], [], []
        for key in outdated:
            self.blobs.delete(key)

    def _write_into(self, session: Session) -> list[str]:
        for step, metrics in self._metrics:
            jobs.report(session, self.claim, metrics=metrics, step=step)
        jobs.report(session, self.claim, progress=self._progress, events=self._events)
        outdated: list[str] = []
        for step, key, sha256 in self._checkpoints:
            outdated += jobs.add_checkpoint(session, self.claim, step=step, key=key, digest=sha256)
        return outdated

    def _publish(self, step: int, checkpoint: Path) -> None:
        # The checksum of the manifest, which holds those of all other files. It is part of the key, as the end of an
        # epoch and the end of the run can be two states at one step.
        sha256 = digest(checkpoint / MANIFEST)
        key = f"runs/{self.claim.job_id}/{self.claim.fence}/checkpoint-{step}-{sha256[:12]}"
        # Moved, as this run never reads its own checkpoints, and later ones fetch them from the blobs.
        self.blobs.put_tree(key, checkpoint, move=True)
        self._checkpoints.append((step, key, sha256))


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """Reports the phase of a job without a step count.

    Raises `StaleClaim` once the claim is lost.
    """

    claim: Claim
    #: All phases, in order.
    names: tuple[str, ...]

    def __call__(self, phase: str) -> None:
        """Report that a phase begins.

        The last one counts as 100 percent, as it takes no time.
        """
        step, steps = self.names.index(phase) if phase in self.names else 0, len(self.names) - 1
        percent = round(100 * step / steps, 1)
        self._report(progress={"phase": phase, "step": step, "steps": steps, "percent": percent})

    def log(self, message: str) -> None:
        """Write a line to the job's log."""
        self._report(events=[("log", {"message": message})])

    def _report(self, **values: Any) -> None:
        retrying_transaction(lambda session: jobs.report(session, self.claim, **values))


def _to_json(progress: Progress) -> dict[str, Any]:
    percent = 100 * progress.step / progress.steps if progress.steps else 0.0
    return {**{name: getattr(progress, name) for name in PROGRESS_FIELDS}, "percent": round(percent, 1)}
