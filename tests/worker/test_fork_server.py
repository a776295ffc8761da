"""Forks of a process that has imported everything are like new processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.worker import child_program, inspected_program
from tests.support.worker.processes import is_alive
from tests.support.worker.waiting import until
from worker.child_process import ChildProcess, environment_for_runs
from worker.fork_server import ForkServer

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="runs are forked on Linux alone"),
]

Start = Callable[..., ChildProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a child, which the test may leave running."""
    children = []

    def start(module: str, *arguments: str, server: ForkServer | None) -> ChildProcess:
        log = tmp_path / "log"
        child = ChildProcess(module, *arguments, environment=environment_for_runs(), log=log, fork_server=server)
        children.append(child)
        return child

    yield start
    for child in children:
        child.__exit__(None, None, None)


def end_of(child: ChildProcess) -> int:
    until(lambda: child.wait(0.1))
    return child.status


def test_a_fork_finds_what_a_new_process_finds(start: Start, fork_server: ForkServer, tmp_path: Path) -> None:
    facts: list[dict[str, Any]] = []
    for server in (None, fork_server):
        child = start(inspected_program.__name__, str(tmp_path / "facts"), "0", server=server)
        assert end_of(child) == 0
        facts.append(json.loads((tmp_path / "facts").read_text()))
    assert facts[1] == facts[0]
    assert facts[0]["environment"]["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("end", "status", "output"),
    [
        ("0", 0, "not flushed"),
        ("78", 78, "not flushed"),
        ("raise", 1, "OverflowError: the end of this program"),
        ("abort", -signal.SIGABRT, ""),
    ],
)
def test_the_end_of_a_fork_is_that_of_a_new_process(
    start: Start, fork_server: ForkServer, tmp_path: Path, end: str, status: int, output: str
) -> None:
    for server in (None, fork_server):
        (tmp_path / "log").unlink(missing_ok=True)
        assert end_of(start(inspected_program.__name__, str(tmp_path / "facts"), end, server=server)) == status
        assert output in (tmp_path / "log").read_text()


def test_forks_leave_no_process_behind(start: Start, fork_server: ForkServer, tmp_path: Path) -> None:
    child = start(child_program.__name__, str(tmp_path / "note"), server=fork_server)
    until(lambda: (tmp_path / "note").exists() or child.wait(0.01))
    group = json.loads((tmp_path / "note").read_text())["pids"]
    child.kill()
    assert not [pid for pid in group if psutil.pid_exists(pid)], "killed and reaped, the orphan of the run too"


def test_a_run_survives_the_fork_server(start: Start, tmp_path: Path) -> None:
    server = ForkServer(environment_for_runs())
    server.start()
    # Requested while the fork server is still importing.
    run = start(child_program.__name__, str(tmp_path / "note"), server=server)
    assert not run.wait(0)
    until(lambda: (tmp_path / "note").exists() or run.wait(0.01))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    next_run = start(inspected_program.__name__, str(tmp_path / "facts"), "65", server=server)
    assert end_of(next_run) == 65, "it starts as a new process"
    assert not run.wait(0)
    run.request_leave()
    assert end_of(run) == 75
    assert run.receive_error() == {"code": "leaves"}
    until(lambda: not server.is_ready)
    server.start()
    assert server.pid is None or is_alive(server.pid)
    server.close()


def test_a_request_that_is_withdrawn_starts_nothing(start: Start, fork_server: ForkServer, tmp_path: Path) -> None:
    assert fork_server.pid is not None
    os.kill(fork_server.pid, signal.SIGSTOP)
    try:
        child = start(inspected_program.__name__, str(tmp_path / "withdrawn"), "0", server=fork_server)
        assert not child.wait(0)
        child.kill()
    finally:
        os.kill(fork_server.pid, signal.SIGCONT)
    assert (child.was_killed, child.status) == (True, -signal.SIGKILL)
    assert end_of(start(inspected_program.__name__, str(tmp_path / "facts"), "0", server=fork_server)) == 0
    assert not (tmp_path / "withdrawn").exists()


def test_runs_on_a_gpu_are_new_processes(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_DEVICE", "cuda")
    server = ForkServer(environment_for_runs())
    server.start()
    assert end_of(start(inspected_program.__name__, str(tmp_path / "facts"), "0", server=server)) == 0
    until(lambda: "runs import anew" in caplog.text)
    assert "cuda" in caplog.text
    server.start()
    assert server.pid is None
