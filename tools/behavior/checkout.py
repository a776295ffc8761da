"""Starts the processes of one checkout and sends HTTP requests to them."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_SECONDS = 90.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01
MIB = 1024**2


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Service:
    """The HTTP face of a running service."""

    port: int
    api_key: str

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on its own connection; write header names with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.api_key}", **named})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """A JSON document; raises `RuntimeError` for an error status."""
        return self._require_success("GET", path, self.request("GET", path)).json()

    def get_text(self, path: str) -> str:
        """A text; raises `RuntimeError` for an error status."""
        return self._require_success("GET", path, self.request("GET", path)).body.decode()

    def post(self, path: str, document: Any) -> Any:
        """The JSON answer to a JSON document; raises `RuntimeError` for an error status."""
        body = json.dumps(document).encode()
        return self._require_success(
            "POST", path, self.request("POST", path, body, Content_Type="application/json")
        ).json()

    def answers(self, path: str) -> bool:
        """True where `path` is answered with 200 now."""
        try:
            return self.request("GET", path).status == http.client.OK
        except OSError:
            return False

    @staticmethod
    def _require_success(method: str, path: str, answer: Answer) -> Answer:
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {answer.body[:2000].decode()}")
        return answer


@dataclass(frozen=True)
class Start:
    """The cost of one start of the API process, until `/healthz` answered."""

    wall_seconds: float
    #: Processor time from start to exit; other load on the machine changes it least.
    cpu_seconds: float
    #: Resident, once ready.
    memory_mib: float


@dataclass
class Checkout:
    """A working tree. Its code runs in child processes only; nothing is imported here."""

    directory: Path
    python: str = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()
        own = self.directory / ".venv" / "bin" / "python"
        self.python = str(own) if own.exists() else sys.executable

    @contextmanager
    def running(self) -> Iterator[Service]:
        """A whole service (`plinth up`) over an empty home folder."""
        with tempfile.TemporaryDirectory() as folder:
            service = Service(_free_port(), secrets.token_urlsafe(32))
            home = Path(folder) / "home"
            arguments = ["plinth", "up", "--home", str(home), "--port", str(service.port)]
            with self._process(arguments, Path(folder), service) as process:
                _wait(lambda: service.answers("/readyz"), process, Path(folder) / "log")
                yield service

    def start_api(self) -> Start:
        """Start the API process over a migrated, empty home folder, measure it, stop it."""
        with tempfile.TemporaryDirectory() as folder:
            service = Service(_free_port(), secrets.token_urlsafe(32))
            with self._process(["migrations"], Path(folder), service) as process:
                if process.wait(READY_SECONDS) != 0:
                    raise RuntimeError((Path(folder) / "log").read_text())
            spent = _children_cpu_seconds()
            began = time.perf_counter()
            with self._process(["app"], Path(folder), service) as process:
                _wait(lambda: service.answers("/healthz"), process, Path(folder) / "log")
                wall_seconds = time.perf_counter() - began
                memory_mib = _resident_mib(process.pid)
            return Start(wall_seconds, _children_cpu_seconds() - spent, memory_mib)

    @contextmanager
    def _process(self, arguments: list[str], folder: Path, service: Service) -> Iterator[subprocess.Popen[bytes]]:
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [self.python, "-P", "-m", *arguments],
                cwd=folder,
                env=self._environment(folder, service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _environment(self, folder: Path, service: Service) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PLINTH_", "PYTHON"))}
        return {
            **own,
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(self._metadata(folder))]),
            "OMP_NUM_THREADS": "1",
            "PLINTH_API_KEY": service.api_key,
            "PLINTH_DEVICE": "cpu",
            "PLINTH_HOME": str(folder / "home"),
            "PLINTH_HOST": "127.0.0.1",
            "PLINTH_PORT": str(service.port),
            "PLINTH_PREDICT_THREADS": "1",
        }

    def _metadata(self, folder: Path) -> Path:
        """A folder of distribution metadata with the checkout's own name and version."""
        project = tomllib.loads((self.directory / "pyproject.toml").read_text())["project"]
        name, version = project["name"].replace("-", "_"), project.get("version") or self._version()
        about = folder / "metadata" / f"{name}-{version}.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
        (about / "METADATA").write_text(text)
        return about.parent

    def _version(self) -> str:
        """The version of a checkout whose build reads it from the package."""
        match = re.search(r'^__version__ = "(.+?)"', (self.directory / "plinth" / "__init__.py").read_text(), re.M)
        assert match is not None, "plinth/__init__.py has no __version__"
        return match[1]


def medians(starts: list[Start]) -> dict[str, float]:
    """The median of every figure over several starts."""
    names = ("wall_seconds", "cpu_seconds", "memory_mib")
    return {name: round(statistics.median(getattr(start, name) for start in starts), 3) for name in names}


def metric_names(exposition: str) -> dict[str, Any]:
    """Metric -> its type and the names of its labels, from Prometheus's text format."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE))
    labels: dict[str, set[str]] = {}
    for name, listed in re.findall(r"^([a-z_:][\w:]*)(?:\{(.*?)\})? ", exposition, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r"(\w+)=\"", listed))
    return {
        re.sub(r"_total$", "", name): {"type": kind, "labels": sorted(_labels_of(name, labels))}
        for name, kind in types.items()
        if not name.endswith("_created")
    }


def _labels_of(name: str, labels: Mapping[str, set[str]]) -> set[str]:
    parts = (name, *(f"{name}_{part}" for part in ("bucket", "count", "sum")))
    return set().union(*(labels.get(part, set()) for part in parts))


def _wait(is_ready: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the process is not ready:\n{log.read_text()[-4000:]}")
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _resident_mib(pid: int) -> float:
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(listed.stdout) * 1024 / MIB
