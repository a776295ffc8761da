"""One trial of a sweep: its rungs, and its metrics on the validation split."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ml.schedule import is_higher_better
from ml.search.halving import Halving
from ml.search.schema import Sweep
from ml.search.space import current_parameters
from ml.search.trial import Outcome, Trial
from store import job_events, jobs
from store.database import reading
from worker.retry import DATABASE_ERRORS, driver_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from ml.learning.training.progress import Progress
    from ml.spec.schema import Spec
    from store.jobs import Claim
    from store.tables import Job
    from worker.jobs.progress import ProgressReporter

log = logging.getLogger(__name__)

#: Reason of a trial that succeeded in showing that it is weak.
PRUNED: Final = "pruned"
VALIDATION: Final = "validation/"


class TrialPruned(Exception):
    """A trial is weak compared with others at a rung."""


@dataclass
class TrialWatch:
    """Watch over a trial: reports its progress, and raises `TrialPruned` if it is weak.

    The first trial is never ended: it shows what the default recipe reaches.
    """

    claim: Claim
    reporter: ProgressReporter
    sweep: Sweep
    epochs: int

    @classmethod
    def of(cls, claim: Claim, reporter: ProgressReporter, spec: Spec) -> TrialWatch:
        """Make the watch of a trial whose spec is complete."""
        assert claim.parent_id is not None
        with reading() as session:
            sweep = Sweep.model_validate(jobs.get(session, claim.parent_id).spec)
        return cls(claim, reporter, sweep, spec.schedule.epochs or 1)

    def __call__(self, progress: Progress) -> None:
        """Report progress; raises `TrialPruned` after a validation that ends the trial."""
        self.reporter(progress)
        is_over = progress.epoch >= progress.epochs
        if self.sweep.metric not in progress.metrics or is_over or not self.claim.trial:
            return
        self.reporter.write()
        try:
            with reading() as session:
                is_weak = self._is_weak(session)
        except DATABASE_ERRORS as error:
            log.warning("the trials cannot be compared now: %s", driver_error(error))
            return
        if is_weak:
            self.reporter.log(f"pruned after {progress.step} of {progress.steps} steps: other trials are better here")
            raise TrialPruned

    def _is_weak(self, session: Session) -> bool:
        halving, metric = self.sweep.halving, self.sweep.metric
        if not isinstance(halving, Halving) or metric is None:
            return False
        curve = _curve(session, self.claim.job_id, metric)
        reached = halving.count_rungs(len(curve), epochs=self.epochs)
        if not reached:
            return False
        higher = is_higher_better(metric)
        own = halving.rung_values(curve, epochs=self.epochs, higher_is_better=higher)
        assert self.claim.parent_id is not None
        siblings = (row for row in jobs.trials(session, self.claim.parent_id) if row.id != self.claim.job_id)
        rungs = [_rungs(session, row, self.sweep) for row in siblings]
        others = [values[len(own) - 1] for values in rungs if len(values) >= len(own)]
        return bool(own) and halving.is_weak(own[-1], others, higher_is_better=higher, rungs=reached)

    def final_metrics(self, training: Mapping[str, Any]) -> dict[str, float | None]:
        """Return the metrics of the validation split for the weights that were kept.

        `training` is the section of the report. Epochs are passes over the rows, of which several may come between two
        validations.
        """
        with reading() as session:
            curves = job_events.metrics(session, self.claim.job_id, max_points=100_000)
        metrics: dict[str, float | None] = {}
        for name, curve in curves.items():
            if name.startswith(VALIDATION):
                best = training["best_epoch"]
                number = math.ceil(best * len(curve) / training["epochs"]) if best else len(curve)
                metrics[name.removeprefix(VALIDATION)] = curve[number - 1][1]
        return metrics


def read_trial(session: Session, row: Job, sweep: Sweep) -> Trial:
    """Return a trial as a strategy sees it."""
    metric = (sweep.metric or "").removeprefix(VALIDATION)
    metrics = (row.report or {}).get("metrics", {})
    parameters = row.parameters
    if row.trial == 0 and isinstance(sweep.space, dict):
        parameters = current_parameters(sweep.space, row.request or {}, row.spec)
    return Trial(
        number=row.trial or 0,
        outcome=_outcome(row),
        parameters=parameters,
        value=metrics.get(metric),
        rungs=_rungs(session, row, sweep),
        loss=metrics.get("loss"),
    )


def _outcome(row: Job) -> Outcome:
    if row.state in ("queued", "running"):
        return Outcome.RUNNING
    if row.state != "succeeded":
        return Outcome.FAILED
    return Outcome.PRUNED if row.reason == PRUNED else Outcome.COMPLETE


def _rungs(session: Session, row: Job, sweep: Sweep) -> list[float]:
    halving = sweep.halving if isinstance(sweep.halving, Halving) else Halving()
    epochs = row.spec.get("schedule", {}).get("epochs")
    if sweep.metric is None or not epochs:
        return []
    curve = _curve(session, row.id, sweep.metric)
    return halving.rung_values(curve, epochs=epochs, higher_is_better=is_higher_better(sweep.metric))


def _curve(session: Session, job_id: str, metric: str) -> list[float | None]:
    curves = job_events.metrics(session, job_id, names=[metric], max_points=100_000)
    return [value for _, value in curves.get(metric, [])]
