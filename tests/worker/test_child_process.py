"""Child processes: requests, errors, process groups and environments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.worker import child_program, supervisor_process
from tests.support.worker.processes import is_alive
from tests.support.worker.waiting import until
from worker.child_process import ChildProcess, environment_for_runs, environment_without_secrets

pytestmark = pytest.mark.process


def read_note(note: Path) -> dict[str, Any]:
    until(note.exists)
    return json.loads(note.read_text())


@pytest.fixture(params=["new process", "fork"])
def child(request, tmp_path):
    server = request.getfixturevalue("fork_server") if request.param == "fork" else None
    with ChildProcess(
        child_program.__name__,
        str(tmp_path / "note"),
        environment=environment_for_runs(),
        log=tmp_path / "log",
        fork_server=server,
    ) as child:
        yield child


def test_a_request_reaches_a_child_that_is_still_starting(child):
    child.request_leave()
    until(lambda: child.wait(0.1))
    assert child.status == 75
    assert child.receive_error() == {"code": "leaves"}


def test_a_request_to_finish_reaches_a_child(child):
    child.request_finish()
    until(lambda: child.wait(0.1))
    assert child.receive_error() == {"code": "finishes"}


def test_sigterm_is_a_request_to_leave(child, tmp_path):
    os.kill(read_note(tmp_path / "note")["pids"][0], signal.SIGTERM)
    until(lambda: child.wait(0.1))
    assert child.receive_error() == {"code": "leaves"}


def test_a_child_that_is_killed_reports_no_error(child, tmp_path):
    os.kill(read_note(tmp_path / "note")["pids"][0], signal.SIGKILL)
    until(lambda: child.wait(0.1))
    assert child.status == -signal.SIGKILL
    assert child.receive_error() is None


def test_leaving_the_context_kills_the_process_group(tmp_path):
    with ChildProcess(
        child_program.__name__,
        str(tmp_path / "note"),
        environment=environment_for_runs(),
        log=tmp_path / "log",
    ):
        pids = read_note(tmp_path / "note")["pids"]
        assert all(is_alive(pid) for pid in pids)
    until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize("start", ["new process", "fork"])
def test_nothing_survives_a_supervisor_that_is_killed(start, tmp_path):
    supervisor = subprocess.Popen(
        [sys.executable, "-m", supervisor_process.__name__, str(tmp_path / "note"), str(tmp_path / "log"), start]
    )
    try:
        pids = read_note(tmp_path / "note")["pids"]
        pids += [process.pid for process in psutil.Process(supervisor.pid).children()]
    finally:
        supervisor.kill()
        supervisor.wait()
    killed_at = time.monotonic()
    until(lambda: not any(is_alive(pid) for pid in pids))
    assert time.monotonic() - killed_at < 2


def test_a_run_gets_the_database_but_no_api_key(monkeypatch):
    monkeypatch.setenv("PLINTH_API_KEY", "plinth_secret")
    monkeypatch.setenv("PLINTH_REDIS_URL", "redis://:password@host")
    monkeypatch.setenv("PLINTH_DATABASE_URL", "sqlite://")
    monkeypatch.setenv("UNRELATED_TOKEN", "secret")
    environment = environment_for_runs()
    assert environment["PLINTH_DATABASE_URL"] == "sqlite://"
    assert not {"PLINTH_API_KEY", "PLINTH_REDIS_URL", "UNRELATED_TOKEN"} & environment.keys()


def test_the_sandbox_gets_neither_database_nor_blobs(monkeypatch):
    monkeypatch.setenv("PLINTH_DATABASE_URL", "postgresql://user:password@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert not [name for name in environment_without_secrets() if name.startswith(("PLINTH_", "AWS_"))]
