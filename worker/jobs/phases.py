"""How far a job is that has no steps to count: which of its phases it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store import jobs
from store.database import transaction
from worker.retry import retry_while_unavailable
from worker.settings import worker_settings

if TYPE_CHECKING:
    from store.jobs import Claim


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
        def write() -> None:
            with transaction() as session:
                jobs.report(session, self.claim, **told)

        retry_while_unavailable(write, for_seconds=worker_settings().database_patience_seconds)
