"""The fork server: a process that imports what runs need, and forks them.

It is `worker.jobs.fork_runs`. A run that it forks becomes a child of this process, so that its exit status comes from
the kernel and does not depend on the fork server, which may be killed at any time.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

MODULE = "worker.jobs.fork_runs"
#: Reserves space in the command line, which a run replaces by its own.
PADDING = " " * 120
PR_SET_CHILD_SUBREAPER = 36
MAX_MESSAGE_BYTES = 16_384
MEGABYTE = 1_000_000
#: Time for the fork server to import everything and fork. After it a run starts as a new process.
MAX_FORK_SECONDS = 60.0


class ForkFailed(Exception):
    """The fork server ended, or did not begin, before it forked the process."""


class ForkServer:
    """Handle of the fork server, for all threads of the worker.

    `start` starts it, and again after it was killed. One that ends before it is ready is not started again: the
    machine has a GPU, or no memory for it. Then, and on other systems than Linux, `wait` of a fork raises `ForkFailed`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._is_usable = sys.platform == "linux" and _adopt_orphans()

    @property
    def is_ready(self) -> bool:
        """True once a fork takes milliseconds."""
        return self._is_ready

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process if it does not run; returns at once."""
        with self._lock:
            if self._socket is not None or not self._is_usable:
                return
            self._socket, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # The kernel ends the process with the thread that started it, so that thread does nothing else.
            watch = threading.Thread(
                target=self._watch, args=(self._socket, server_end), name="fork server", daemon=True
            )
            watch.start()

    def fork(self, command: Sequence[str], *, output: int, channel: int) -> ForkedProcess:
        """Request a process; returns at once.

        Args:
            command: Module and arguments of `python -m`.
            output: Descriptor for its standard output and error.
            channel: Descriptor of its end of the control channel.
        """
        read_end, write_end = os.pipe()
        try:
            with self._lock:
                if self._socket is not None:
                    message = json.dumps(list(command)).encode()
                    socket.send_fds(self._socket, [message], [output, channel, write_end])
        except OSError:
            # The server has ended; no process writes to the pipe, which tells it.
            pass
        finally:
            os.close(write_end)
        return ForkedProcess(read_end)

    def close(self) -> None:
        """End the process; runs continue. It is not started again."""
        with self._lock:
            self._is_usable = False
            process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def _watch(self, channel: socket.socket, server_end: socket.socket) -> None:
        """Run the process; log when it is ready and when it ends."""
        with channel:
            try:
                with server_end:
                    process = self._process = subprocess.Popen(
                        [sys.executable, "-m", MODULE, PADDING],
                        env=self._environment,
                        stdin=server_end.fileno(),
                        start_new_session=True,
                    )
                end = self._wait(process, _receive(channel))
            except OSError as error:
                end = f"cannot start: {error}"
            with self._lock:
                self._process = self._socket = None
                was_closed, was_ready = not self._is_usable, self._is_ready
                self._is_ready, self._is_usable = False, was_ready and not was_closed
        if not was_closed:
            log.warning("fork server %s; %s", end, "the next run starts it again" if was_ready else "runs import anew")

    def _wait(self, process: subprocess.Popen[bytes], message: Mapping[str, str | float]) -> str:
        """Wait for the end of the process, and describe it."""
        if "obstacle" in message:
            process.kill()
            process.wait()
            return f"has ended: {message['obstacle']}"
        if message:
            self._is_ready = True
            log.info(
                "fork server %d is ready: %d MB, %.1f CPU-s of imports",
                process.pid,
                int(message["bytes"]) // MEGABYTE,
                message["cpu_seconds"],
            )
        return f"{process.pid} ended with {process.wait()}"


def _adopt_orphans() -> bool:
    """Make orphans children of this process: so do runs become.

    Returns False where the kernel or a container does not allow what that needs.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def _receive(channel: socket.socket) -> dict[str, str | float]:
    try:
        message = json.loads(channel.recv(MAX_MESSAGE_BYTES) or b"{}")
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


class ForkedProcess:
    """A process from the fork server, with the interface of `subprocess.Popen`."""

    def __init__(self, reply: int) -> None:
        #: None until the process exists.
        self.pid: int | None = None
        self.returncode: int | None = None
        self._requested_at = time.monotonic()
        self._reply = reply
        self._descriptor: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; returns its exit status, negative for a signal.

        Raises:
            ForkFailed: There will be no process.
            subprocess.TimeoutExpired: `timeout` seconds have passed.
        """
        if self.returncode is None:
            if self._descriptor is None:
                self._descriptor = self._open(timeout)
            _wait_until_readable(self._descriptor, timeout)
            assert self.pid is not None, "it has a descriptor"
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._descriptor)
        return self.returncode

    def cancel(self) -> None:
        """Withdraw the request, unless the process exists by now; then `pid` is known."""
        if self._descriptor is not None or self.returncode is not None:
            return
        try:
            self._descriptor = self._open(0)
        except subprocess.TimeoutExpired:
            os.close(self._reply)
            self.returncode = -signal.SIGKILL
        except ForkFailed:
            self.returncode = -signal.SIGKILL

    def _open(self, timeout: float | None) -> int:
        """Wait until the process exists; return a descriptor that its end makes readable."""
        try:
            _wait_until_readable(self._reply, timeout)
        except subprocess.TimeoutExpired:
            if time.monotonic() - self._requested_at < MAX_FORK_SECONDS:
                raise
            os.close(self._reply)
            raise ForkFailed from None
        content = os.read(self._reply, 32)
        os.close(self._reply)
        if not content:
            raise ForkFailed
        self.pid = int(content)
        return os.pidfd_open(self.pid)


def _wait_until_readable(descriptor: int, seconds: float | None) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(None if seconds is None else seconds * 1000):
        raise subprocess.TimeoutExpired("a forked process", seconds or 0)
