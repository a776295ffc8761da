"""The end of a run, as its supervisor sees it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from store import jobs
from store.database import transaction
from store.tables import JobKind
from tests.support.worker import finishing_program
from worker import job_kinds
from worker.job_kinds import JobProgram
from worker.settings import WorkerSettings
from worker.supervisor import Run


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
