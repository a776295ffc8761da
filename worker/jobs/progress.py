"""From the trainer to the row: what happened, in one write a second, each conditional on the claim."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from store import jobs
from store.database import transaction
from worker.retry import UNREACHABLE, cause_of, retrying_transaction

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ml.learning.training.progress import Progress
    from store.blobs import Blobs
    from store.jobs import Claim

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
SHOWN = ("epoch", "epochs", "step", "steps", "samples_per_second", "eta_seconds", "phase")


@dataclass
class ProgressReporter:
    """Called by the trainer with each `Progress`, in its thread; raises `StaleClaim` when the run is another's by now.

    While the database cannot be reached everything is kept for later, in order.
    """

    claim: Claim
    blobs: Blobs
    _last: Progress | None = None
    _progress: dict[str, Any] | None = None
    _metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    _events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _checkpoints: list[tuple[int, str, str]] = field(default_factory=list)
    _written_at: float = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take it up; write when a second has passed, and at once what someone may be waiting for."""
        is_news = self._is_news(progress)
        self._last, self._progress = progress, _as_json(progress)
        if progress.metrics:
            self._metrics.append((progress.step, progress.metrics))
        if progress.message:
            self._events.append(("log", {"message": progress.message}))
        if progress.checkpoint:
            self._publish(progress.step, progress.checkpoint)
        if is_news or time.monotonic() - self._written_at >= EVERY_SECONDS:
            self.write()

    def _is_news(self, progress: Progress) -> bool:
        """A checkpoint, another phase, or the first step."""
        last = self._last
        return bool(progress.checkpoint) or not last or last.phase != progress.phase or (last.step == 0 < progress.step)

    def say(self, message: str) -> None:
        """A line for the job's log, written at once."""
        self._events.append(("log", {"message": message}))
        self.write()

    def write(self) -> None:
        """All that has gathered, in one transaction."""
        try:
            with transaction() as session:
                outdated = self._write_into(session)
        except UNREACHABLE as error:
            log.warning("the database cannot be written, telling it later: %s", cause_of(error))
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
        # That of the manifest, which holds those of all other files. It is in the key, as the last step of an epoch and
        # the end of the run may be one step and two states.
        sha256 = digest(checkpoint / MANIFEST)
        key = f"runs/{self.claim.job_id}/{self.claim.fence}/checkpoint-{step}-{sha256[:12]}"
        # Moved: a later run of the job fetches it from the blobs, and this one never reads its own.
        self.blobs.put_tree(key, checkpoint, move=True)
        self._checkpoints.append((step, key, sha256))


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """Writes to the job; raises `StaleClaim` when it is another's by now."""

    claim: Claim
    names: tuple[str, ...]
    """In their order."""

    def __call__(self, phase: str) -> None:
        """This one begins; those before it are done. The last takes no time to speak of."""
        done, steps = self.names.index(phase) if phase in self.names else 0, len(self.names) - 1
        percent = round(100 * done / steps, 1)
        self._report(progress={"phase": phase, "step": done, "steps": steps, "percent": percent})

    def say(self, message: str) -> None:
        """A line for the job's log."""
        self._report(events=[("log", {"message": message})])

    def _report(self, **told: Any) -> None:
        retrying_transaction(lambda session: jobs.report(session, self.claim, **told))


def _as_json(progress: Progress) -> dict[str, Any]:
    percent = 100 * progress.step / progress.steps if progress.steps else 0.0
    return {**{name: getattr(progress, name) for name in SHOWN}, "percent": round(percent, 1)}
