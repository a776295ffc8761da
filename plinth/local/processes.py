"""Child processes that never outlive their parent, and cleanup of leftover ones."""

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

DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
MAX_LOG_BYTES = 10 * 2**20
POLL_SECONDS = 0.02


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    pass_descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, with its output in `log`.

    On Linux it is killed when the calling thread ends. Elsewhere it must watch a pipe from this process.
    """
    rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=pass_descriptors,
        )


def rotate(log: Path) -> None:
    """Move the content of a log over 10 MiB to `*.1`, replacing an older one.

    Writers append, so they continue in the emptied file.
    """
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(log.suffix + ".1"))
        os.truncate(log, 0)


def read_last_lines(log: Path, *, count: int = 15) -> str:
    """Read the last lines of a log; empty if there is no log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])


def end(processes: Iterable[subprocess.Popen[bytes]], *, grace_seconds: float) -> None:
    """Terminate processes, wait for all within `grace_seconds`, then kill their process groups."""
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
    """Kill all processes in the group of a leader; a missing group is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def identify(pid: int) -> str | None:
    """Return a string that differs between processes with the same pid; None without a process."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, start_ticks = fields[0], fields[19]
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if state in "ZX" else f"{boot_id}/{start_ticks}"
    listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip() or None


def end_leftover(pid: int, expected_identity: str, *, grace_seconds: float = 5.0) -> bool:
    """Kill a process of an earlier run and its group.

    Returns False if the pid is unused or belongs to another process.
    """
    if identify(pid) != expected_identity:
        return False
    kill_group(pid)
    deadline = time.monotonic() + grace_seconds
    while identify(pid) == expected_identity and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return True
