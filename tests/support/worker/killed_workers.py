"""Jobs of several owners, run by workers that are killed at random."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from store import jobs
from store.database import reading, transaction
from store.queue.owner import current_owner
from store.tables import FINAL_STATES, Job, JobKind, Model
from tests.support.worker import empty_worker
from tests.support.worker.waiting import until

if TYPE_CHECKING:
    from tests.support.worker.machine import Machine

OWNERS: Final = ("key_a", "key_b", "key_c", "key_d")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of jobs after all have ended."""

    #: Jobs that did not succeed.
    lost: int
    #: Models beyond one for each job.
    doubled: int
    #: Pairs of successive jobs of one owner of which the second started first.
    swapped: int
    #: Runs beyond one for each job: those of killed workers.
    repeated: int
    kills: int
    seconds: float


def run_with_kills(machine: Machine, *, jobs_count: int, workers: int, kills: int, seed: int = 0) -> Outcome:
    """Run empty jobs of four owners, and replace a random worker `kills` times after SIGKILL."""
    generator = random.Random(seed)
    submit_in_turn(jobs_count)
    processes = [machine.start_worker(module=empty_worker.__name__) for _ in range(workers)]
    until(machine.workers_alive)
    begin = time.monotonic()
    killed = 0
    while unfinished := count_unfinished():
        # Kills are spread over the jobs; each lasts until another worker has renewed nothing for a lease.
        if killed < kills and unfinished <= jobs_count * (1 - killed / kills):
            place = generator.randrange(workers)
            processes[place].kill()
            processes[place].wait()
            processes[place] = machine.start_worker(module=empty_worker.__name__)
            killed += 1
        assert time.monotonic() - begin < 30 + jobs_count, f"{unfinished} jobs do not end"
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    with reading() as session:
        rows = session.execute(select(Job.owner_id, Job.state, Job.fence, Job.started_at).order_by(Job.id)).all()
        models = session.scalar(select(func.count()).select_from(Model)) or 0
        owners_of_models = session.scalar(select(func.count(Model.job_id.distinct()))) or 0
    starts = [[row.started_at for row in rows if row.owner_id == owner] for owner in OWNERS]
    return Outcome(
        lost=sum(row.state != "succeeded" for row in rows),
        doubled=models - owners_of_models,
        swapped=sum(second < first for times in starts for first, second in pairwise(times)),
        repeated=sum(row.fence - 1 for row in rows),
        kills=killed,
        seconds=seconds,
    )


def submit_in_turn(count: int) -> None:
    """Submit jobs, the owners one after the other."""
    for number in range(count):
        owner = OWNERS[number * len(OWNERS) // count]
        token = current_owner.set(owner)
        with transaction() as session:
            jobs.submit(session, kind=JobKind.FINETUNE, spec={}, model_name=owner)
        current_owner.reset(token)


def count_unfinished() -> int:
    """Return the number of jobs that have not ended."""
    with reading() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.state.not_in(FINAL_STATES))) or 0
