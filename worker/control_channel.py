"""The line between a supervisor and its child: one socket pair.

Down it go requests, one byte each. Its end means that the supervisor is gone: the child kills its whole group, so that
no run outlives the process that keeps its lease. Up it go the child's last words, why it ended, as JSON. A request
waits in the line until the child reads it, as a signal to a process that is still starting would not.
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

VARIABLE = "PLINTH_CONTROL_CHANNEL"
LEAVE = b"L"
FINISH = b"F"
LONGEST_WORDS_BYTES = 32_768
PR_SET_PDEATHSIG = 1


class SupervisorEnd:
    """What the supervisor holds. Closing it ends the child's group."""

    def __init__(self) -> None:
        self._socket, self._theirs = socket.socketpair()

    @property
    def child_descriptor(self) -> int:
        """To be handed to the child."""
        return self._theirs.fileno()

    def let_go_of_the_other_end(self) -> None:
        """Once the child holds it, so that its end shows here."""
        self._theirs.close()

    def ask(self, request: bytes) -> None:
        """Send a request; a child that is gone hears nothing, and that is no error."""
        try:
            self._socket.send(request, socket.MSG_DONTWAIT)
        except (BrokenPipeError, BlockingIOError, ConnectionResetError):
            return

    def last_words(self) -> dict[str, Any] | None:
        """What an ended child said, or None."""
        said = b""
        self._socket.settimeout(1)
        try:
            while chunk := self._socket.recv(LONGEST_WORDS_BYTES):
                said += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        try:
            words = json.loads(said)
        except ValueError:
            return None
        return words if isinstance(words, dict) else None

    def close(self) -> None:
        """End the line."""
        self._socket.close()
        self._theirs.close()


class ChildEnd:
    """What the child holds. Remembers what it was asked; `stop_requested` is `LEAVE`, `FINISH` or None."""

    def __init__(self) -> None:
        self.request: bytes | None = None
        self._socket: socket.socket | None = None
        signal.signal(signal.SIGTERM, lambda *_: self._asked(LEAVE))
        descriptor = os.environ.pop(VARIABLE, None)
        if descriptor is None:
            return
        os.set_inheritable(int(descriptor), False)
        self._socket = socket.socket(fileno=int(descriptor))
        threading.Thread(target=self._listen, args=(self._socket,), name="tether", daemon=True).start()

    def say(self, words: dict[str, Any]) -> None:
        """Tell why this process ends; the supervisor reads it afterwards."""
        if self._socket is not None:
            self._socket.send(json.dumps(words).encode()[:LONGEST_WORDS_BYTES])

    def _listen(self, line: socket.socket) -> None:
        while request := line.recv(1):
            self._asked(request)
        os.killpg(0, signal.SIGKILL)

    def _asked(self, request: bytes) -> None:
        # To leave is more urgent than to finish, and stays so.
        if self.request != LEAVE:
            self.request = request


def die_with_parent() -> None:
    """Linux kills this process when its parent dies, even while C code holds the interpreter.

    For processes that start no others: one that dies so has no time to end its group.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
