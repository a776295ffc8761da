"""The API process on a home folder of its own, for tests and benchmarks."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from tests.support import built_once

MIB: Final = 1024**2
#: To end in: a busy machine may give it little of its time.
END_SECONDS: Final = 60
#: In the home folder.
DATABASE: Final = "plinth.db"


class ApiProcess:
    """`python -m app` over a fresh SQLite home folder, without broker or worker."""

    def __init__(self, home: Path, *, cores: str | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.key = secrets.token_urlsafe(32)
        self.environment = {
            **os.environ,
            "PLINTH_HOME": str(home),
            "PLINTH_API_KEY": self.key,
            "PLINTH_PORT": str(self.port),
            "PLINTH_HOST": "127.0.0.1",
        }
        for name in ("PLINTH_DATABASE_URL", "PLINTH_BLOB_URL", "PLINTH_REDIS_URL"):
            self.environment.pop(name, None)
        #: CPU cores that the process may use, in the syntax of taskset; None allows all.
        self.cores = cores
        self.ready_seconds = 0.0
        self.home = home
        self.log = home / "api.log"
        #: File descriptors that the process inherits.
        self.descriptors: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not (self.home / DATABASE).exists():
            self._migrate()
        self.start()
        return self

    def _migrate(self) -> None:
        """Copy an empty database, which the first process of the test run makes."""
        with tempfile.TemporaryDirectory() as temporary:
            built_once.copy_built("migrated", self._make_database, Path(temporary) / "copy")
            # With its journal: what was written last may be there.
            for file in (Path(temporary) / "copy").glob(f"{DATABASE}*"):
                shutil.copy(file, self.home)

    def _make_database(self, folder: Path) -> None:
        environment = {**self.environment, "PLINTH_HOME": str(folder)}
        subprocess.run([sys.executable, "-m", "migrations"], env=environment, check=True, capture_output=True)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process, and measure the time until `/healthz` answers."""
        started = time.perf_counter()
        with self.log.open("ab") as log:
            pinned = ["taskset", "-c", self.cores] if self.cores else []
            self._process = subprocess.Popen(
                [*pinned, sys.executable, "-m", "app"],
                env=self.environment,
                stdout=log,
                stderr=log,
                pass_fds=self.descriptors,
            )
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - started > 30:
                raise RuntimeError(f"the API did not start:\n{self.log.read_text()}")
            time.sleep(0.01)
        self.ready_seconds = time.perf_counter() - started

    def stop(self) -> int:
        """Stop the process with SIGTERM; returns its exit status."""
        return self.kill(signal.SIGTERM)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End the process with a signal; returns its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(END_SECONDS)
        self._process = None
        return status

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; returns status, headers in lower case, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.key}", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def rss_bytes(self) -> int:
        """Resident memory in bytes."""
        return self._memory("VmRSS")

    def own_bytes(self) -> int:
        """Resident memory in bytes without pages of files, which processes share."""
        return self._memory("RssAnon")

    def _memory(self, field: str) -> int:
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:"))

    def cpu_seconds(self) -> float:
        """CPU seconds so far, of all threads and the kernel."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def maps(self) -> str:
        """Files mapped by the process, among them every loaded library."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/maps").read_text()

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/healthz")[0] == 200
        except OSError:
            return False
