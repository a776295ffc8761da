"""`plinth up`: what docker-compose.yml describes, as child processes of one command, in one folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plinth.child_supervisor import ChildSupervisor, RestartPolicy
from plinth.client.errors import PlinthError
from plinth.client.home import api_key_file, read_stack, stack_file
from plinth.installation import install_command
from plinth.local import processes
from plinth.local.broker import EmbeddedBroker

READY_SECONDS = 60.0
STOP_SECONDS = 3.5
BROKER_STOP_SECONDS = 0.7
"""Together under the 5 s in which everything has to be gone."""
DRAIN_SECONDS = 2.5
"""What a run has to save a checkpoint, once asked to leave; it goes on from its last one in any case."""

RESTART_POLICY = RestartPolicy(first_delay_seconds=0.5, max_delay_seconds=30.0, steady_seconds=60.0)

WATCH_SECONDS = 0.1
ROTATE_EVERY_SECONDS = 60.0

Say = Callable[[str], None]


class StackError(PlinthError):
    """The service cannot be started; the message says why and what to do."""


class AlreadyRunning(StackError):
    """Another `plinth up` has this folder."""


@dataclass(frozen=True)
class Service:
    """A long-running process of the stack, restarted when it ends."""

    name: str
    supervisor: ChildSupervisor

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The current process, which may have ended."""
        return self.supervisor.process


class Stack:
    """Broker, API and worker over one folder. Has to be used in the main thread: its children die with that."""

    def __init__(self, home: Path, *, host: str, port: int, say: Say, api_processes: int = 1) -> None:
        """Start the API with `api_processes` processes on one socket."""
        self._home = home
        self._host = host
        self._port = port
        self._api_processes = api_processes
        self._say = say
        self._services: list[Service] = []
        self._broker: EmbeddedBroker | None = None
        self._redis_url = os.environ.get("PLINTH_REDIS_URL", "")
        self._is_ready = False
        self._device: subprocess.Popen[bytes] | None = None
        """The passing process that finds out where runs will compute."""
        self._pipe = -1
        """Read end of the pipe to our services; see `_parent_pipe`."""

    @property
    def url(self) -> str:
        """Where the API listens, as this machine reaches it."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder is ours, whatever an earlier life left in it is ended, and nothing is left at the end."""
        os.umask(0o077)
        self._home.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(exist_ok=True)
        with self._lock(), self._parent_pipe():
            self._take_over()
            try:
                yield
            finally:
                self._stop()

    def start(self, stop: threading.Event) -> None:
        """Start everything and return once it is ready, or once `stop` is set."""
        self._port = _free_port(self._host, self._port)
        make_api_key(self._home)
        if not self._redis_url:
            broker = self._broker = EmbeddedBroker(self._home / "broker", log=self._log("broker"))
            self._redis_url = broker.start()
            self._serve("broker", lambda: _started(broker), broker.process)
        self._migrate(stop)
        for name in ("app", "worker"):
            self._serve(name, self._launcher(name))
        self._wait_until_ready(stop)

    def supervise(self, stop: threading.Event) -> None:
        """Start again what dies, until `stop` is set. Tells the device once it is known: only PyTorch can say it."""
        if not stop.is_set():
            self._log("device").unlink(missing_ok=True)
            self._device = self._launcher("worker.jobs.device", log="device")()
        rotate_at = time.monotonic() + ROTATE_EVERY_SECONDS
        while not stop.wait(WATCH_SECONDS):
            for service in self._services:
                self._look_after(service)
            self._tell_device()
            if time.monotonic() > rotate_at:
                rotate_at = time.monotonic() + ROTATE_EVERY_SECONDS
                for log in self._logs.glob("*.log"):
                    processes.rotate(log)

    @property
    def _logs(self) -> Path:
        return self._home / "logs"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = read_stack(self._home)
                where = f" at {running['url']} (process {running.get('pid')})" if "url" in running else ""
                raise AlreadyRunning(
                    f"Plinth already runs in {self._home}{where}. "
                    "Stop that one first, or give this one a folder of its own: plinth up --home FOLDER --port 0"
                ) from None
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _parent_pipe(self) -> Iterator[None]:
        """Hold the write end of a pipe, whose end tells the services that this process has ended."""
        self._pipe, write_end = os.pipe()
        try:
            yield
        finally:
            os.close(write_end)
            os.close(self._pipe)

    def _take_over(self) -> None:
        """End what an earlier life that was killed left running, if it is really that: number and start time agree."""
        left = [
            noted["name"]
            for noted in read_stack(self._home).get("processes", [])
            if processes.end_leftover(noted["pid"], noted["identity"])
        ]
        if left:
            self._say(f"Ended what an earlier start left running: {', '.join(left)}.")

    def _note(self) -> None:
        """Write down what runs, for clients and for the next start."""
        noted = {
            "pid": os.getpid(),
            "url": self.url,
            "redis_url": self._redis_url,
            "ready": self._is_ready,
            "processes": [
                {"name": service.name, "pid": service.process.pid, "identity": processes.identity(service.process.pid)}
                for service in self._services
            ],
        }
        unfinished = stack_file(self._home).with_suffix(".new")
        unfinished.write_text(json.dumps(noted, indent=1))
        unfinished.replace(stack_file(self._home))

    def _environment(self) -> dict[str, str]:
        return {
            "PLINTH_DRAIN_SECONDS": str(DRAIN_SECONDS),
            **os.environ,
            "PLINTH_HOME": str(self._home),
            "PLINTH_HOST": self._host,
            "PLINTH_PORT": str(self._port),
            "PLINTH_API_PROCESSES": str(self._api_processes),
            "PLINTH_REDIS_URL": self._redis_url,
            "PLINTH_PARENT_PIPE": str(self._pipe),
            "PYTHONUNBUFFERED": "1",
            # A folder named `app` where the user happens to stand is not ours.
            "PYTHONSAFEPATH": "1",
        }

    def _launcher(self, module: str, *, log: str | None = None) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: processes.spawn(
            [sys.executable, "-m", module],
            log=self._log(log or module),
            environment=self._environment(),
            pass_descriptors=[self._pipe],
        )

    def _migrate(self, stop: threading.Event) -> None:
        process = self._launcher("migrations")()
        while process.poll() is None:
            if stop.wait(0.02):
                processes.end([process], grace_seconds=STOP_SECONDS)
                return
        if process.returncode != 0:
            log = self._end_of_log("migrations")
            if "ModuleNotFoundError" in log:
                raise StackError(f"The server is not installed. Install it: {install_command('server')}\n{log}")
            raise StackError(f"The database cannot be brought up to date:\n{log}")

    def _serve(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._services.append(Service(name, ChildSupervisor(start, RESTART_POLICY, process)))
        self._note()

    def _wait_until_ready(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not stop.wait(0.05):
            for service in self._services:
                if (code := service.process.poll()) is not None:
                    raise StackError(f"{service.name} ended at once ({_told(code)}):\n{self._end_of_log(service.name)}")
            readiness = self._readiness()
            if readiness.get("ready") and readiness.get("workers", {}).get("ok"):
                self._is_ready = True
                self._note()
                return
            if time.monotonic() > deadline:
                raise StackError(f"Not ready after {READY_SECONDS:.0f} s: {json.dumps(readiness)}. Logs: {self._logs}")

    def _readiness(self) -> dict[str, Any]:
        line = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=3)
        try:
            line.request("GET", "/readyz")
            answer = json.loads(line.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        finally:
            line.close()
        return answer if isinstance(answer, dict) else {}

    def _look_after(self, service: Service) -> None:
        if (code := service.supervisor.poll()) is not None:
            # What stayed of its group would keep the port or the folder from the next one.
            processes.kill_group(service.process.pid)
            self._say(
                f"{datetime.now(UTC):%H:%M:%S} UTC  {service.name} ended ({_told(code)}); "
                f"starting it again in {service.supervisor.delay_seconds:g} s. Log: {self._log(service.name)}"
            )
        try:
            if not service.supervisor.restart_if_due():
                return
        except (PlinthError, OSError) as error:
            self._say(f"{service.name} does not start: {error}")
            return
        self._note()
        self._say(f"{datetime.now(UTC):%H:%M:%S} UTC  {service.name} is started again (process {service.process.pid}).")

    def _tell_device(self) -> None:
        if self._device is None or self._device.poll() is None:
            return
        self._device = None
        told = processes.last_lines(self._log("device"), count=1)
        try:
            device = json.loads(told)
            self._say(f"device  {device['device']}: {device['why']} (PyTorch {device['torch']})")
        except (ValueError, KeyError, TypeError):
            self._say(f"device  unknown: {told} (`plinth doctor` says more)")

    def _stop(self) -> None:
        """First those that still write to the broker, then the broker; nothing may take longer than it has."""
        writing = [service.process for service in self._services if service.name != "broker"]
        processes.end([*writing, self._device] if self._device else writing, grace_seconds=STOP_SECONDS)
        if self._broker is not None:
            self._broker.stop(grace_seconds=BROKER_STOP_SECONDS)
        stack_file(self._home).unlink(missing_ok=True)

    def _end_of_log(self, name: str) -> str:
        return f"{processes.last_lines(self._log(name))}\n(all of it: {self._log(name)})"


def make_api_key(home: Path) -> None:
    """Leave a key in the folder, readable by its owner alone, unless one is there or given by `PLINTH_API_KEY`."""
    if os.environ.get("PLINTH_API_KEY"):
        return
    file = api_key_file(home)
    if file.exists() and file.read_text().strip():
        file.chmod(0o600)
        return
    file.touch(mode=0o600)
    file.write_text(f"plinth_{secrets.token_urlsafe(32)}\n")


def _started(broker: EmbeddedBroker) -> subprocess.Popen[bytes]:
    broker.start()
    return broker.process


def _free_port(host: str, port: int) -> int:
    """The port itself, or for 0 one that nobody has."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StackError(
                    f"Port {port} on {host} is taken by another program. "
                    "Choose another one (plinth up --port PORT), or any free one (plinth up --port 0)."
                ) from None
            raise StackError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from None
        return int(probe.getsockname()[1])


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
