"""Several API processes that listen on one socket: `python -m app --api-processes N`.

They share only that socket, the database and the blobs: the kernel passes a connection to whichever process accepts it.
The parent process opens the socket and restarts processes that end. Connections that no process had accepted wait in
the backlog meanwhile.
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
from functools import partial
from typing import TYPE_CHECKING, Final

import app
from app.event_log import EventLogger
from plinth.child_supervisor import ChildSupervisor, RestartPolicy

if TYPE_CHECKING:
    from app.settings import AppSettings

#: Environment variable of an API process: descriptors of the socket and of the pipe to the parent, and its number.
SOCKET: Final = "PLINTH_API_SOCKET"
#: Environment variable with the descriptor of a pipe to the process that started the service (`plinth up`).
PARENT_PIPE: Final = "PLINTH_PARENT_PIPE"
BACKLOG: Final = 2048
WATCH_SECONDS: Final = 0.1
RESTART_POLICY: Final = RestartPolicy(first_delay_seconds=0.1, max_delay_seconds=10.0, steady_seconds=10.0)
#: Exit status for settings that must not be served; another start would not help.
CONFIGURATION: Final = 78

_log = EventLogger("plinth.app")


def serve(settings: AppSettings) -> int:
    """Supervise the API processes until SIGTERM or SIGINT.

    Returns 0 then, 78 if a process ends with that status, 1 if the socket cannot be opened.
    """
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            shared = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
        except OSError as error:
            _log.error("cannot listen", host=settings.host, port=settings.port, reason=error.strerror)
            return 1
        stack.enter_context(shared)
        # The read end closes in the children when this process ends, in whatever way.
        read_end, write_end = os.pipe()
        stack.callback(os.close, write_end)
        stack.callback(os.close, read_end)

        def start(number: int) -> subprocess.Popen[bytes]:
            environment = {**os.environ, SOCKET: f"{shared.fileno()},{read_end},{number}"}
            descriptors = (shared.fileno(), read_end)
            return subprocess.Popen([sys.executable, "-m", app.__name__], env=environment, pass_fds=descriptors)

        children = [ChildSupervisor(partial(start, number), RESTART_POLICY) for number in range(settings.api_processes)]
        _log.info("API processes", pids=[child.process.pid for child in children], port=shared.getsockname()[1])
        try:
            while not stop.wait(WATCH_SECONDS):
                for number, child in enumerate(children):
                    status = child.poll()
                    if status is not None:
                        _log.warning("an API process ended", number=number, pid=child.process.pid, status=status)
                    if status == CONFIGURATION:
                        return CONFIGURATION
                    if child.restart_if_due():
                        _log.info("an API process is restarted", number=number, pid=child.process.pid)
        finally:
            _terminate(children, grace_seconds=settings.shutdown_timeout_seconds + 1)
    return 0


def _terminate(children: list[ChildSupervisor], *, grace_seconds: float) -> None:
    """Terminate all processes at once; kill those that remain after `grace_seconds`."""
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + grace_seconds
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


class Inherited:
    """Resources inherited from the parent: the number of this process, and the socket."""

    def __init__(self, variable: str) -> None:
        listener, self._parent_pipe, self.number = (int(part) for part in variable.split(","))
        self.socket = socket.socket(fileno=listener)

    def end_with_parent(self) -> None:
        """Terminate this process once the parent has ended."""
        _terminate_at_end_of(self._parent_pipe)


def inherited_process() -> Inherited | None:
    """Return what this process inherits; None if it serves alone.

    The variable is removed from the environment, so that children of this process do not inherit it.
    """
    variable = os.environ.pop(SOCKET, None)
    return Inherited(variable) if variable else None


def end_with_starter() -> None:
    """Terminate this process once its starter has ended, if that passed a pipe."""
    descriptor = os.environ.pop(PARENT_PIPE, None)
    if descriptor is not None:
        _terminate_at_end_of(int(descriptor))


def _terminate_at_end_of(pipe: int) -> None:
    os.set_inheritable(pipe, False)

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
