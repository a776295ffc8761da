"""The end of a run, as its supervisor sees it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from store import jobs
from store.database import transaction
from store.tables import JobKind, Lane, lane_of
from tests.support.worker import finishing_program
from tests.support.worker.waiting import until
from worker import job_kinds
from worker.job_kinds import JobProgram
from worker.settings import WorkerSettings
from worker.supervisor import Run, Supervisor

LONG_IMPORTS = 2


@pytest.mark.process
def test_a_run_that_has_recorded_its_success_may_clean_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = JobProgram(finishing_program.__name__)
    monkeypatch.setattr(job_kinds, "PROGRAMS", {JobKind.IMPORT: program})
    monkeypatch.setattr("worker.supervisor.PROGRAMS", {JobKind.IMPORT: program})
    with transaction() as session:
        job_id = jobs.submit(session, kind=JobKind.IMPORT, spec={}).id
    with transaction() as session:
        claim = jobs.claim(session, job_id, worker="test")
    assert claim is not None
    # Several heartbeats fall between the end that the run records and the end of its process.
    settings = WorkerSettings(heartbeat_seconds=finishing_program.CLEAN_UP_SECONDS / 10)
    supervisor: Any = SimpleNamespace(settings=settings, draining=threading.Event(), fork_server=None)

    Run(claim, cast("Any", supervisor)).supervise()

    assert (home / "cleaned-up").exists()


def test_a_small_import_runs_beside_a_large_one_and_runs_wait_for_neither(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    may_end = threading.Event()

    def supervise(run: Run) -> None:
        started.append(run.claim.kind)
        if len(started) <= LONG_IMPORTS:
            may_end.wait()
        with transaction() as session:
            jobs.succeed(session, run.claim)

    monkeypatch.setattr(Run, "supervise", supervise)
    supervisor = Supervisor("test", WorkerSettings(warm_worker=False, job_slots=1, import_slots=LONG_IMPORTS))

    def handle(kind: JobKind) -> threading.Thread:
        with transaction() as session:
            job_id = jobs.submit(session, kind=kind, spec={}).id
        thread = threading.Thread(target=supervisor.handle, args=(job_id, lane_of(kind)), daemon=True)
        thread.start()
        return thread

    imports = [handle(JobKind.IMPORT) for _ in range(LONG_IMPORTS)]
    until(lambda: len(started) == LONG_IMPORTS)
    # A third import occupies no thread, and a run starts at once.
    handle(JobKind.IMPORT).join()
    handle(JobKind.PRETRAIN).join()
    assert started == [JobKind.IMPORT] * LONG_IMPORTS + [JobKind.PRETRAIN]

    may_end.set()
    for thread in imports:
        thread.join()
    assert started[-1] == JobKind.IMPORT
    assert len(started) == LONG_IMPORTS + 2


def test_messages_that_find_no_slot_are_not_forgotten(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    may_end = threading.Event()

    def supervise(run: Run) -> None:
        order.append(run.claim.job_id)
        may_end.wait()
        with transaction() as session:
            jobs.succeed(session, run.claim)

    monkeypatch.setattr(Run, "supervise", supervise)
    supervisor = Supervisor("test", WorkerSettings(warm_worker=False, job_slots=1))
    ids = []
    with transaction() as session:
        for priority in ("normal", "low", "high"):
            ids.append(jobs.submit(session, kind=JobKind.PRETRAIN, spec={}, priority=priority).id)
    first = threading.Thread(target=supervisor.handle, args=(ids[0], Lane.COMPUTING), daemon=True)
    first.start()
    until(lambda: order)
    for job_id in ids[1:]:
        supervisor.handle(job_id, Lane.COMPUTING)

    may_end.set()
    first.join()
    assert order == [ids[2], ids[0], ids[1]]


def test_a_worker_serves_the_lanes_of_its_slots() -> None:
    def lanes(**slots: int) -> set[Lane]:
        return set(Supervisor("test", WorkerSettings(warm_worker=False, **slots)).lanes)

    assert lanes(job_slots=1, import_slots=1) == set(Lane)
    assert lanes(job_slots=0, import_slots=1) == {Lane.IMPORTING}
    assert lanes(job_slots=1, import_slots=0) == {Lane.COMPUTING, Lane.COORDINATING}
    with pytest.raises(ValidationError, match="both 0"):
        lanes(job_slots=0, import_slots=0)
