"""The control channel between a supervisor and its child: one socket pair.

The supervisor sends requests, one byte each. They wait in the socket until the child reads them, where a signal to a
process that is still starting would be lost. The child sends the error with which it ends, as JSON. When the
supervisor's end closes, the supervisor is gone: the child kills its whole process group, so that no run outlives the
process that renews its lease.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

#: Environment variable with the file descriptor of the child's end.
VARIABLE = "PLINTH_CONTROL_CHANNEL"
LEAVE = b"L"
FINISH = b"F"
#: Environment variable with the descriptor of a pipe to the process that started the service (`plinth up`).
PARENT_PIPE = "PLINTH_PARENT_PIPE"
MAX_ERROR_BYTES = 32_768
PR_SET_PDEATHSIG = 1


class SupervisorEnd:
    """The supervisor's end. Closing it kills the child's process group."""

    def __init__(self) -> None:
        self._socket, self._child_socket = socket.socketpair()

    @property
    def child_descriptor(self) -> int:
        """The file descriptor that the child inherits."""
        return self._child_socket.fileno()

    def close_child_end(self) -> None:
        """Close this process's copy of the child's end.

        Else the end of the child would not close the channel.
        """
        self._child_socket.close()

    def send_request(self, request: bytes) -> None:
        """Send `LEAVE` or `FINISH`; no error if the child has ended."""
        try:
            self._socket.send(request, socket.MSG_DONTWAIT)
        except (BrokenPipeError, BlockingIOError, ConnectionResetError):
            return

    def receive_error(self) -> dict[str, Any] | None:
        """Return the error that an ended child sent, or None."""
        content = b""
        self._socket.settimeout(1)
        try:
            while chunk := self._socket.recv(MAX_ERROR_BYTES):
                content += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        try:
            error = json.loads(content)
        except ValueError:
            return None
        return error if isinstance(error, dict) else None

    def close(self) -> None:
        """Close both ends."""
        self._socket.close()
        self._child_socket.close()


class ChildEnd:
    """The child's end. `request` is the most urgent request so far: `LEAVE`, `FINISH` or None.

    SIGTERM counts as `LEAVE`, with or without a supervisor.
    """

    def __init__(self) -> None:
        self.request: bytes | None = None
        self._socket: socket.socket | None = None
        signal.signal(signal.SIGTERM, lambda *_: self._receive(LEAVE))
        descriptor = os.environ.pop(VARIABLE, None)
        if descriptor is None:
            return
        os.set_inheritable(int(descriptor), False)
        self._socket = socket.socket(fileno=int(descriptor))
        threading.Thread(target=self._listen, args=(self._socket,), name="control channel", daemon=True).start()

    def send_error(self, error: dict[str, Any]) -> None:
        """Send the error with which this process ends; the supervisor reads it afterwards."""
        if self._socket is not None:
            self._socket.send(json.dumps(error).encode()[:MAX_ERROR_BYTES])

    def _listen(self, channel: socket.socket) -> None:
        while request := channel.recv(1):
            self._receive(request)
        os.killpg(0, signal.SIGKILL)

    def _receive(self, request: bytes) -> None:
        # LEAVE is more urgent than FINISH.
        if self.request != LEAVE:
            self.request = request


def die_with_parent(descriptor: int) -> None:
    """Kill this process when its parent has ended: when the pipe behind `descriptor` closes.

    On Linux the kernel does so, too, even while C code holds the interpreter lock. Only for processes without children,
    as their process group is not killed.
    """
    _send_at_end_of(descriptor, signal.SIGKILL)
    die_with_parent_thread()


def die_with_parent_thread() -> None:
    """Kill this process when the thread that started it has ended.

    Does nothing on other systems than Linux.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_starter() -> None:
    """Terminate this process once its starter has ended, if that passed a pipe."""
    descriptor = os.environ.pop(PARENT_PIPE, None)
    if descriptor is not None:
        os.set_inheritable(int(descriptor), False)
        _send_at_end_of(int(descriptor), signal.SIGTERM)


def _send_at_end_of(pipe: int, number: signal.Signals) -> None:
    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, name="parent", daemon=True).start()
