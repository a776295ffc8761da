"""Logs, identities and the end of child processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from plinth.local import processes


def test_a_large_log_is_rotated_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (processes.MAX_LOG_BYTES + 1))
        processes.rotate(log)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "app.log.1").stat().st_size == processes.MAX_LOG_BYTES + 1


def test_a_small_log_is_not_rotated(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\nthree\n")
    processes.rotate(log)
    assert processes.read_last_lines(log, count=2) == "two\nthree"
    assert processes.read_last_lines(tmp_path / "nowhere.log") == ""


def test_only_the_process_with_the_recorded_identity_is_ended() -> None:
    assert processes.identify(os.getpid()) == processes.identify(os.getpid()) is not None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as child:
        identity = processes.identify(child.pid)
        assert identity is not None
        assert not processes.end_leftover(child.pid, "another identity")
        assert child.poll() is None
        assert processes.end_leftover(child.pid, identity)
        assert child.wait(2) < 0


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    child = processes.spawn([sys.executable, "-c", program], log=tmp_path / "log")
    deadline = time.monotonic() + 20
    while "ready" not in processes.read_last_lines(tmp_path / "log"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes.end([child], grace_seconds=0.2)
    assert child.returncode == -9
