"""`python -m worker.jobs.sweep JOB FENCE`: one look at the trials of a sweep.

It starts the trials that are missing and leaves; the end of a trial rings it again. The last look evaluates the best
trial on the test split and registers it. After a kill, the rows of the trials say how far the sweep is.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ml.schedule import is_higher_better
from ml.search.report import failure, sweep_section
from ml.search.schema import Sweep
from ml.search.space import apply_parameters
from ml.search.study import propose
from ml.search.trial import Outcome, Trial, best_trial
from store import jobs, workers
from store.blobs import blobs
from store.tables import FINAL_STATES, JobKind, Lane, clock
from worker.jobs import entrypoint
from worker.jobs.registration import register
from worker.jobs.train import fetch_checkpoints, fetch_inputs, make_reporter, run_trainer
from worker.jobs.trial import read_trial
from worker.retry import retrying_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from store.jobs import Claim
    from store.tables import Job
    from worker.control_channel import ChildEnd

log = logging.getLogger(__name__)

#: Shortest time until a sweep looks again at the CPU time of its trials.
MIN_WAKE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """Result of one look at the trials."""

    rows: Sequence[Job]
    trials: Sequence[Trial]
    #: Whether trials are still to come; then the sweep is suspended.
    is_searching: bool
    #: Trials whose checkpoints nobody needs any more; their files are still to be deleted.
    losers: Sequence[str]

    def best(self, sweep: Sweep) -> Trial | None:
        """Return the best complete trial."""
        return _best(self.trials, sweep)


def run_sweep(claim: Claim, folder: Path, channel: ChildEnd) -> None:
    """Start trials; once all have ended, evaluate and register the best."""
    sweep = Sweep.model_validate(claim.spec)
    look = retrying_transaction(lambda session: look_at_trials(session, claim, sweep))
    best = look.best(sweep)
    for job_id in look.losers:
        blobs().delete(f"runs/{job_id}")
    if look.is_searching:
        return
    if best is None and claim.requested == "stop":
        log.info("stopped before a trial had a result")
        retrying_transaction(lambda session: jobs.finish_cancelled(session, claim))
        return
    if best is None:
        raise failure([(row.trial or 0, row.error) for row in look.rows])
    _register_best(claim, sweep, look, best, folder, channel)


def look_at_trials(session: Session, claim: Claim, sweep: Sweep) -> Look:
    """Start the trials that are missing, and suspend the sweep while any runs.

    All in one transaction, with the row of the sweep locked: two looks never start the same trial, and the end of a
    trial comes either before it, or rings the sweep after it. Raises `StaleClaim`.
    """
    parent = jobs.lock_claim(session, claim)
    rows = list(jobs.trials(session, claim.job_id))
    trials = [read_trial(session, row, sweep) for row in rows]
    remaining = _remaining_seconds(session, parent, sweep, rows)
    is_over = parent.requested == "stop" or (remaining is not None and remaining <= 0)
    running = [row for row in rows if row.state not in FINAL_STATES]
    if is_over:
        for row in running:
            if row.requested is None:
                jobs.stop(session, row.id)
        running = [row for row in jobs.trials(session, claim.job_id) if row.state not in FINAL_STATES]
    elif parent.requested is None:
        for _ in range(_count_to_start(session, sweep, rows)):
            row = _start_trial(session, claim, sweep, trials)
            rows.append(row)
            running.append(row)
            trials.append(read_trial(session, row, sweep))
    losers = _forget_losers(session, rows, _best(trials, sweep))
    is_searching = bool(running) or parent.requested == "pause"
    if is_searching:
        _report_progress(session, claim, sweep, trials)
        jobs.suspend(session, claim, wake_after_seconds=None if is_over else remaining)
    return Look(rows, trials, is_searching, losers)


def _count_to_start(session: Session, sweep: Sweep, rows: Sequence[Job]) -> int:
    """Return the number of trials to start: one for each free slot, at least one.

    So a sweep uses idle slots, and beside other jobs it is one job of the queue.
    """
    slots = sum(worker.slots for worker in workers.list_alive(session))
    free = slots - jobs.count_unfinished(session, Lane.COMPUTING)
    is_running = any(row.state not in FINAL_STATES for row in rows)
    return min(max(free, 0 if is_running else 1), sweep.budget.max_trials - len(rows))


def _start_trial(session: Session, claim: Claim, sweep: Sweep, trials: Sequence[Trial]) -> Job:
    number = len(trials)
    job = sweep.job.model_dump(mode="json", exclude_unset=True)
    parameters = None
    if number > 0:
        assert isinstance(sweep.space, dict), "the sweep is resolved"
        higher = is_higher_better(sweep.metric or "")
        parameters = propose(
            sweep.strategy, sweep.space, trials, seed=sweep.seed, number=number, higher_is_better=higher
        )
    spec = apply_parameters(job, parameters or {})
    row = jobs.submit(
        session,
        kind=JobKind.FINETUNE,
        spec=spec,
        request=spec,
        dataset_id=claim.dataset_id,
        parent_id=claim.job_id,
        trial=number,
        parameters=parameters or {},
    )
    settings = ", ".join(f"{path} = {value}" for path, value in (parameters or {}).items())
    message = f"trial {number}: {settings or 'the job as it is'}"
    jobs.report(session, claim, events=[("log", {"message": message})])
    return row


def _remaining_seconds(session: Session, parent: Job, sweep: Sweep, rows: Sequence[Job]) -> float | None:
    """Return the time until the budget may be spent; None without such a budget."""
    budget, limits = sweep.budget, []
    if budget.seconds is not None and parent.started_at is not None:
        now = session.scalar(clock().select())
        assert now is not None
        limits.append(budget.seconds - (now - parent.started_at).total_seconds())
    if budget.cpu_seconds is not None:
        rest = budget.cpu_seconds - sum((row.progress or {}).get("cpu_seconds") or 0.0 for row in rows)
        running = sum(row.state == "running" for row in rows)
        cores = max(1, running) * (os.cpu_count() or 1)
        limits.append(max(rest / cores, MIN_WAKE_SECONDS) if rest > 0 else 0.0)
    return min(limits, default=None)


def _report_progress(session: Session, claim: Claim, sweep: Sweep, trials: Sequence[Trial]) -> None:
    ended = sum(trial.outcome is not Outcome.RUNNING for trial in trials)
    best = _best(trials, sweep)
    progress = {"phase": "searching", "step": ended, "steps": sweep.budget.trials, "trials": len(trials)}
    if sweep.budget.trials:
        progress["percent"] = round(100 * ended / sweep.budget.trials, 1)
    metrics = {sweep.metric: best.value} if best is not None and sweep.metric else None
    jobs.report(session, claim, progress=progress, metrics=metrics, step=ended)


def _best(trials: Sequence[Trial], sweep: Sweep) -> Trial | None:
    return best_trial(trials, higher_is_better=is_higher_better(sweep.metric or ""))


def _forget_losers(session: Session, rows: Sequence[Job], best: Trial | None) -> list[str]:
    """Forget the checkpoints of ended trials but the best; returns the ids of their jobs."""
    losers = [row.id for row in rows if row.state in FINAL_STATES and (best is None or row.trial != best.number)]
    losers = [job_id for job_id in losers if jobs.checkpoints(session, job_id)]
    for job_id in losers:
        jobs.delete_checkpoints(session, job_id)
    return losers


def _register_best(claim: Claim, sweep: Sweep, look: Look, best: Trial, folder: Path, channel: ChildEnd) -> None:
    """Evaluate the best trial on the test split, from its last checkpoint, and register it."""
    row = next(row for row in look.rows if row.trial == best.number)
    reporter = make_reporter(claim)
    metrics = {sweep.metric: best.value} if sweep.metric else {}
    retrying_transaction(lambda session: jobs.report(session, claim, metrics=metrics, step=len(look.trials)))
    reporter.log(f"trial {best.number} is the best: {sweep.metric} {best.value}")
    section = sweep_section(sweep, look.trials, best, [(row.id, row.progress, row.error) for row in look.rows])
    inputs = fetch_inputs(row.spec, str(claim.dataset_id), folder)
    fetch_checkpoints(row.id, folder)
    result = run_trainer(inputs.spec, inputs, folder, channel, reporter, can_finish=False)
    report = {**result.report, "sweep": section}
    reason = "stopped" if claim.requested == "stop" else "completed"
    register(result.package, claim, parent_id=inputs.parent_id, report=report, reason=reason)
    retrying_transaction(lambda session: jobs.delete_checkpoints(session, row.id))
    blobs().delete(f"runs/{row.id}")


if __name__ == "__main__":
    entrypoint.exit_now(entrypoint.main(run_sweep))
