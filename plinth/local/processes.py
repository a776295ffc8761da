"""Child processes that never outlive us, and how to know and end those an earlier life left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LEASH = Path(__file__).with_name("die_with_parent.py")
MAX_LOG_BYTES = 10 * 2**20
POLL_SECONDS = 0.02


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    pass_descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, writing to `log`.

    On Linux it is killed when the calling thread ends; elsewhere a process that reads a pipe of this one has to notice.
    """
    rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=pass_descriptors,
        )


def rotate(log: Path) -> None:
    """Keep one older log file beside `log` once it is large. Writers append, so they go on in the emptied file."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(log.suffix + ".1"))
        os.truncate(log, 0)


def last_lines(log: Path, *, count: int = 15) -> str:
    """The end of a log, to show beside an error."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])


def end(processes: Iterable[subprocess.Popen[bytes]], *, grace_seconds: float) -> None:
    """Ask each process to end, wait for all of them together, then end their whole groups without asking."""
    processes = list(processes)
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + grace_seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for process in processes:
        kill_group(process.pid)
        process.wait()


def kill_group(leader: int) -> None:
    """End a session's first process and all that stayed in its group; nothing there is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def identity(pid: int) -> str | None:
    """What tells a process from a later one with the same number, or None where there is none."""
    if sys.platform == "linux":
        try:
            after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, started_ticks = after_the_name[0], after_the_name[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if state in "ZX" else f"{boot}/{started_ticks}"
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def end_leftover(pid: int, expected_identity: str, *, grace_seconds: float = 5.0) -> bool:
    """End a process of an earlier life and its group; False when that number belongs to nobody, or to somebody else."""
    if identity(pid) != expected_identity:
        return False
    kill_group(pid)
    deadline = time.monotonic() + grace_seconds
    while identity(pid) == expected_identity and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return True
