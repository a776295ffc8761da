"""The order of the queue, with SQLite and PostgreSQL."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from store import datasets, jobs
from store.database import reading, transaction
from store.jobs import Claim
from store.queue.owner import current_owner
from store.tables import PRIORITIES, Dataset, Job, JobKind, Lane, Priority, clock, lane_of

pytestmark = pytest.mark.usefixtures("database")


def submit(owner: str, priority: Priority = "normal", *, kind: str = JobKind.FINETUNE, **fields: Any) -> str:
    token = current_owner.set(owner)
    try:
        with transaction() as session:
            return jobs.submit(session, kind=kind, priority=priority, **{"spec": {}} | fields).id
    finally:
        current_owner.reset(token)


def claim_next(lane: Lane = Lane.COMPUTING, **options: Any) -> Claim | None:
    kinds = [kind for kind in JobKind if lane_of(kind) is lane]
    with transaction() as session:
        return jobs.claim_next(session, lane, worker="w", **{"kinds": kinds} | options)


def start_all() -> list[str]:
    """Claim jobs until none is due, without an end of any."""
    ids = []
    while claim := claim_next():
        ids.append(claim.job_id)
    return ids


def run_all() -> list[str]:
    """Run the jobs in one slot, one after the other."""
    ids = []
    while claim := claim_next():
        with transaction() as session:
            jobs.succeed(session, claim)
        ids.append(claim.job_id)
    return ids


def positions(*job_ids: str) -> list[int | None]:
    with reading() as session:
        rows = [jobs.get(session, job_id) for job_id in job_ids]
        numbers = jobs.queue_positions(session, rows)
    return [numbers.get(job_id) for job_id in job_ids]


def test_the_jobs_of_one_owner_run_first_in_first_out_within_a_priority() -> None:
    normal = [submit("ann") for _ in range(3)]
    low, high = submit("ann", "low"), submit("ann", "high")
    assert positions(high, *normal, low) == [1, 2, 3, 4, 5]
    assert run_all() == [high, *normal, low]


def test_the_owner_with_the_fewest_runs_goes_first() -> None:
    a, b = [submit("ann") for _ in range(4)], [submit("bob") for _ in range(2)]
    assert positions(*a, *b) == [1, 3, 5, 6, 2, 4]
    assert start_all() == [a[0], b[0], a[1], b[1], a[2], a[3]]


def test_owners_take_turns_where_there_is_one_slot() -> None:
    a, b, c = ([submit(owner) for _ in range(2)] for owner in ("ann", "bob", ""))
    assert run_all() == [a[0], b[0], c[0], a[1], b[1], c[1]]


@pytest.mark.parametrize("seed", range(3))
def test_positions_are_the_order_of_starts(seed: int) -> None:
    generator = random.Random(seed)

    def submit_some(count: int) -> list[str]:
        return [submit(generator.choice("abcde"), generator.choice(PRIORITIES)) for _ in range(count)]

    submit_some(8)
    for _ in range(5):
        claim_next()
    submit_some(25)
    with reading() as session:
        queued = session.scalars(select(Job.id).where(Job.state == "queued")).all()
    numbers = dict(zip(positions(*queued), queued, strict=True))
    assert start_all() == [numbers[position] for position in range(1, len(queued) + 1)]


def test_a_higher_priority_goes_before_the_turn_of_another_owner() -> None:
    a = [submit("ann", "high") for _ in range(2)]
    b = [submit("bob"), submit("bob", "high")]
    assert positions(*a, *b) == [1, 3, 4, 2]
    assert start_all() == [a[0], b[1], a[1], b[0]]


def test_a_sweep_and_its_trials_count_as_one_run() -> None:
    sweep_id = submit("ann", "high", kind=JobKind.SWEEP)
    trials = [submit("", kind=JobKind.FINETUNE, parent_id=sweep_id, trial=number) for number in range(3)]
    with transaction() as session:
        rows = [jobs.get(session, job_id) for job_id in trials]
    assert {(row.owner_id, row.priority) for row in rows} == {("ann", 0)}
    for _ in trials:
        claim_next()
    b = [submit("bob") for _ in range(2)]
    a = [submit("ann") for _ in range(2)]
    # Ann has one run, of three processes; after the first of Bob's they have equally many.
    assert start_all() == [b[0], a[0], b[1], a[1]]


def test_lanes_have_orders_of_their_own() -> None:
    training, imports = submit("ann"), [submit("ann", kind=JobKind.IMPORT) for _ in range(2)]
    assert positions(training, *imports) == [1, 1, 2]
    assert [claim_next(Lane.IMPORTING).job_id for _ in range(2)] == imports  # type: ignore[union-attr]
    assert claim_next(Lane.IMPORTING) is None
    assert start_all() == [training]


def test_jobs_that_are_not_due_have_no_position_and_are_passed_over() -> None:
    with transaction() as session:
        dataset_id = datasets.create(session, name="rows", sources=[]).id
    paused, waiting, crashed, due = (submit("ann", dataset_id=dataset_id if index == 1 else None) for index in range(4))
    with transaction() as session:
        jobs.pause(session, paused)
        session.execute(update(Job).where(Job.id == crashed).values(not_before=clock(60)))
    assert positions(paused, waiting, crashed, due) == [None, None, None, 1]
    assert start_all() == [due]
    with transaction() as session:
        session.execute(update(Dataset).values(state="ready"))
        jobs.resume(session, paused)
    assert start_all() == [paused, waiting]


def test_a_released_job_keeps_its_place() -> None:
    first, second = submit("ann"), submit("ann")
    claim = claim_next()
    assert claim is not None
    with transaction() as session:
        jobs.release(session, claim, crashed=False)
    assert positions(first, second) == [1, 2]
    assert start_all() == [first, second]


def test_trainings_on_devices_of_another_worker_are_left_to_it() -> None:
    four, two, every = (submit("ann", spec={"devices": devices}) for devices in (4, 2, "all"))
    plain = submit("ann")
    claimed = [claim_next(excluded_devices=range(3, 5)) for _ in range(4)]
    assert [claim and claim.job_id for claim in claimed] == [two, every, plain, None]
    assert start_all() == [four]


def test_kinds_that_a_worker_does_not_know_are_left_to_another() -> None:
    job_id = submit("ann")
    assert claim_next(kinds=[JobKind.EVALUATE]) is None
    assert start_all() == [job_id]


def test_concurrent_claims_get_different_jobs_in_order() -> None:
    submitted = [submit(owner) for _ in range(8) for owner in ("ann", "bob")]
    claims: list[Claim] = []
    barrier = threading.Barrier(4)

    def take_four() -> None:
        barrier.wait()
        claims.extend(claim for _ in range(4) if (claim := claim_next()))

    threads = [threading.Thread(target=take_four) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.job_id for claim in claims) == submitted


def test_the_next_job_is_found_without_reading_those_behind_it() -> None:
    with transaction() as session:
        rows = [
            {"id": f"job_{number:08}", "kind": "finetune", "spec": {}, "owner_id": f"key_{number % 3}"}
            for number in range(30_000)
        ]
        session.execute(insert(Job), rows)
    read = 0

    def count() -> int:
        nonlocal read
        read += 1
        return 0

    with transaction() as session:
        if session.get_bind().dialect.name != "sqlite":
            pytest.skip("PostgreSQL has no counter of steps of its machine")
        connection = session.connection().connection.dbapi_connection
        assert connection is not None
        connection.set_progress_handler(count, 100)
        claim = jobs.claim_next(session, Lane.COMPUTING, worker="w", kinds=["finetune"])
        connection.set_progress_handler(None, 100)
    assert claim is not None
    assert claim.job_id == "job_00000000"
    # A reading of every queued row would be over 100,000 steps.
    assert read * 100 < 5000


@pytest.mark.parametrize("kind", [JobKind.IMPORT, JobKind.EXPORT])
def test_jobs_of_processes_that_know_no_lanes_start_in_theirs(kind: JobKind) -> None:
    job_id, training_id = submit("ann", kind=kind), submit("ann")
    with transaction() as session:
        session.execute(update(Job).values(lane=Lane.COMPUTING))
    assert claim_next(Lane.IMPORTING) is None
    with transaction() as session:
        jobs.correct_lanes(session)
    claims = [claim_next(Lane.IMPORTING), claim_next()]
    assert [claim.job_id if claim else None for claim in claims] == [job_id, training_id]
