"""Several processes that listen on one socket: `python -m app --api-processes N`.

They share nothing but that socket, the database and the blobs: the kernel hands a connection to whichever accepts it.
This process only opens the socket and looks after them. One that dies is replaced; connections that nobody had accepted
yet wait for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from app.event_log import EventLogger

if TYPE_CHECKING:
    from app.settings import AppSettings

SOCKET: Final = "PLINTH_API_SOCKET"
"""In a worker's environment: the descriptor of the socket, that of the line to who started it, and its number."""
BACKLOG: Final = 2048
WATCH_SECONDS: Final = 0.1
STEADY_SECONDS: Final = 10.0
"""One that lived so long is replaced at once; others after a pause that doubles."""
LONGEST_PAUSE_SECONDS: Final = 10.0
CONFIGURATION: Final = 78
"""The settings must not be served: another start would say the same."""

_Start = Callable[[int], "subprocess.Popen[bytes]"]

_log = EventLogger("plinth.workers")


class _Worker:
    """One of them, whichever process it is now."""

    def __init__(self, number: int, start: subprocess.Popen[bytes]) -> None:
        self.number = number
        self.process = start
        self.started = time.monotonic()
        self.pause_seconds = 0.1
        self.due: float | None = None


def serve(settings: AppSettings) -> int:
    """Until SIGTERM or SIGINT; 0 after that, 78 where the workers say so, 1 where the socket is taken."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            shared = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
        except OSError as error:
            _log.error("cannot listen", host=settings.host, port=settings.port, reason=error.strerror)
            return 1
        stack.enter_context(shared)
        # Whoever reads the other end learns of our end, however it comes.
        theirs, ours = os.pipe()
        stack.callback(os.close, ours)
        stack.callback(os.close, theirs)

        def started(number: int) -> subprocess.Popen[bytes]:
            told = {**os.environ, SOCKET: f"{shared.fileno()},{theirs},{number}"}
            passed = (shared.fileno(), theirs)
            return subprocess.Popen([sys.executable, "-m", "app"], env=told, pass_fds=passed)

        workers = [_Worker(number, started(number)) for number in range(settings.api_processes)]
        _log.info("workers", pids=[worker.process.pid for worker in workers], port=shared.getsockname()[1])
        try:
            while not stop.wait(WATCH_SECONDS):
                for worker in workers:
                    if _look_after(worker, started) == CONFIGURATION:
                        return CONFIGURATION
        finally:
            _end(workers, grace_seconds=settings.shutdown_timeout_seconds + 1)
    return 0


def _look_after(worker: _Worker, started: _Start) -> int | None:
    """Replace it where it ended; gives what it ended with, once."""
    now = time.monotonic()
    if worker.due is None:
        code = worker.process.poll()
        if code is None:
            return None
        is_steady = now - worker.started > STEADY_SECONDS
        worker.pause_seconds = 0.1 if is_steady else min(2 * worker.pause_seconds, LONGEST_PAUSE_SECONDS)
        worker.due = now if is_steady else now + worker.pause_seconds
        _log.warning("a worker ended", worker=worker.number, pid=worker.process.pid, code=code)
        return code
    if now >= worker.due:
        worker.process, worker.started, worker.due = started(worker.number), now, None
        _log.info("a worker is started again", worker=worker.number, pid=worker.process.pid)
    return None


def _end(workers: list[_Worker], *, grace_seconds: float) -> None:
    """All at once: each answers what it was asked."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + grace_seconds
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


class Inherited:
    """What a worker has of who started it: its number, and the socket to listen on."""

    def __init__(self, told: str) -> None:
        listening, line, number = (int(each) for each in told.split(","))
        self.number = number
        self.socket = socket.socket(fileno=listening)
        self._line = line

    def end_with_parent(self) -> None:
        """Ask this process to stop once the other end of the line is closed."""
        threading.Thread(target=self._wait, name="parent", daemon=True).start()

    def _wait(self) -> None:
        os.read(self._line, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def inherited_process() -> Inherited | None:
    """None in a process that serves alone. Not for its own children: it is taken out of the environment."""
    told = os.environ.pop(SOCKET, None)
    return Inherited(told) if told else None
