"""Logs and the identity of processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from plinth.local import processes


def test_a_large_log_is_moved_beside_itself_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (processes.MAX_LOG_BYTES + 1))
        processes.rotate(log)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "app.log.1").stat().st_size == processes.MAX_LOG_BYTES + 1


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\nthree\n")
    processes.rotate(log)
    assert processes.last_lines(log, count=2) == "two\nthree"
    assert processes.last_lines(tmp_path / "nowhere.log") == ""


def test_a_process_is_known_from_a_later_one_with_its_number() -> None:
    assert processes.identity(os.getpid()) == processes.identity(os.getpid()) is not None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as child:
        known = processes.identity(child.pid)
        assert known is not None
        assert not processes.end_leftover(child.pid, "another life")
        assert child.poll() is None
        assert processes.end_leftover(child.pid, known)
        assert child.wait(2) < 0


def test_a_child_that_does_not_listen_is_ended_all_the_same(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = processes.spawn([sys.executable, "-c", deaf], log=tmp_path / "log")
    deadline = time.monotonic() + 20
    while "deaf" not in processes.last_lines(tmp_path / "log"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes.end([child], grace_seconds=0.2)
    assert child.returncode == -9
