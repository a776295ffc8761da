"""Child processes are restarted, after delays that double until they run steadily."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from plinth.child_supervisor import ChildSupervisor, RestartPolicy

POLICY = RestartPolicy(first_delay_seconds=0.02, max_delay_seconds=0.08, steady_seconds=60.0)


def starter(code: str) -> Callable[[], subprocess.Popen[bytes]]:
    return lambda: subprocess.Popen([sys.executable, "-I", "-S", "-c", code])


def wait_for_end(child: ChildSupervisor) -> int:
    deadline = time.monotonic() + 20
    while (status := child.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return status


def wait_for_restart(child: ChildSupervisor) -> None:
    deadline = time.monotonic() + 20
    while not child.restart_if_due():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_delay_doubles_up_to_the_limit() -> None:
    child = ChildSupervisor(starter("raise SystemExit(3)"), POLICY)
    delays = []
    for _ in range(4):
        assert wait_for_end(child) == 3
        assert child.poll() is None, "an end is reported once"
        assert not child.restart_if_due(), "the delay is not over"
        delays.append(child.delay_seconds)
        wait_for_restart(child)
    child.process.wait()
    assert delays == [0.02, 0.04, 0.08, 0.08]


def test_a_steady_process_is_restarted_after_the_first_delay() -> None:
    policy = RestartPolicy(first_delay_seconds=0.02, max_delay_seconds=0.08, steady_seconds=0.0)
    child = ChildSupervisor(starter("pass"), policy)
    for _ in range(3):
        assert wait_for_end(child) == 0
        assert child.delay_seconds == 0.02
        wait_for_restart(child)
    child.process.wait()


def test_a_restart_that_fails_is_tried_again_later() -> None:
    failures = [OSError("no memory")]
    start_process = starter("pass")

    def start() -> subprocess.Popen[bytes]:
        if failures:
            raise failures.pop()
        return start_process()

    child = ChildSupervisor(start, POLICY, process=start_process())
    wait_for_end(child)
    with pytest.raises(OSError, match="no memory"):
        wait_for_restart(child)
    assert child.delay_seconds == 0.04
    wait_for_restart(child)
    child.process.wait()


def test_a_running_process_is_left_alone() -> None:
    child = ChildSupervisor(starter("import time; time.sleep(60)"), POLICY)
    pid = child.process.pid
    assert child.poll() is None
    assert not child.restart_if_due()
    assert child.process.pid == pid
    child.process.kill()
    child.process.wait()
