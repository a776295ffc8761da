"""What does the web process cost: time to ready, memory before and after a prediction, and is torch in it?

python -m benchmarks.api_process
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Self

MIB = 1024**2
READY_AIM_SECONDS = 1.5
MEMORY_AIM_BYTES = 150 * MIB


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
        self.cores = cores
        """Which cores it may use, as taskset has it; all, where nothing is said."""
        self.ready_seconds = 0.0
        self.home = home
        self.log = home / "api.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not (self.home / "plinth.db").exists():
            self._migrate()
        self.start()
        return self

    def _migrate(self) -> None:
        subprocess.run([sys.executable, "-m", "migrations"], env=self.environment, check=True, capture_output=True)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and note the time until the first answer of `/healthz`."""
        started = time.perf_counter()
        with self.log.open("ab") as log:
            pinned = ["taskset", "-c", self.cores] if self.cores else []
            self._process = subprocess.Popen(
                [*pinned, sys.executable, "-m", "app"], env=self.environment, stdout=log, stderr=log
            )
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - started > 30:
                raise RuntimeError(f"the API did not start:\n{self.log.read_text()}")
            time.sleep(0.01)
        self.ready_seconds = time.perf_counter() - started

    def stop(self) -> int:
        """End it in an orderly way; its exit status."""
        return self.kill(signal.SIGTERM)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(10)
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
        """Status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.key}", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def rss_bytes(self) -> int:
        """Resident memory now."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def cpu_seconds(self) -> float:
        """What it computed so far, all threads and the kernel on their behalf."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def maps(self) -> str:
        """Which files are mapped: a library that was loaded is among them."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/maps").read_text()

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/healthz")[0] == 200
        except OSError:
            return False


def main() -> None:
    """Print a table, and say whether the aims were met."""
    picture = files("sklearn").joinpath("datasets/images/flower.jpg").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder) / "home")
        with api:
            pass
        _register_a_model(api, Path(folder) / "package")
        times = []
        for _ in range(5):
            with api:
                times.append(api.ready_seconds)
                idle = api.rss_bytes()
                headers = {"Content-Type": "image/jpeg"}
                status, _, body = api.request("POST", "/predict/shades", headers=headers, body=picture)
                assert status == 200, body
                used, has_torch = api.rss_bytes(), "/torch/" in api.maps()
    ready = statistics.median(times)
    met = ready <= READY_AIM_SECONDS and used <= MEMORY_AIM_BYTES and not has_torch
    print(f"ready                    {ready:6.2f} s   (median of 5, aim {READY_AIM_SECONDS} s)")
    print(f"memory when ready        {idle / MIB:6.0f} MB")
    print(f"memory after prediction  {used / MIB:6.0f} MB  (aim {MEMORY_AIM_BYTES / MIB:.0f} MB)")
    print(f"torch in the process     {'yes' if has_torch else 'no'}")
    print(f"aims: {'met' if met else 'NOT met'}")


def _register_a_model(api: ApiProcess, folder: Path) -> None:
    """As a worker does at the end of a run."""
    os.environ.update(api.environment)
    # Only now: what is imported reads the environment.
    from tests.support.factories import registered, shades

    registered(shades(folder), name="shades")


if __name__ == "__main__":
    main()
