"""`plinth up`: the services of docker-compose.yml as child processes, with one data folder."""

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
# Together below 5 s, the promised time from Ctrl-C to the end of all processes.
STOP_SECONDS = 3.5
BROKER_STOP_SECONDS = 0.7
#: Time for a run to save a checkpoint when the service stops. Without it the run resumes from its last checkpoint.
DRAIN_SECONDS = 2.5

RESTART_POLICY = RestartPolicy(first_delay_seconds=0.5, max_delay_seconds=30.0, steady_seconds=60.0)

WATCH_SECONDS = 0.1
ROTATE_EVERY_SECONDS = 60.0

#: Prints one line for the user.
PrintLine = Callable[[str], None]


class StackError(PlinthError):
    """The service cannot start; the message says why, and names the next step."""


class AlreadyRunning(StackError):
    """Another `plinth up` uses this folder."""


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
    """Broker, API and worker over one folder.

    It must be used in the main thread, because the child processes die with the thread that started them.
    """

    def __init__(self, home: Path, *, host: str, port: int, print_line: PrintLine, api_processes: int = 1) -> None:
        """Configure a stack whose API has `api_processes` processes on one socket."""
        self._home = home
        self._host = host
        self._port = port
        self._api_processes = api_processes
        self._print_line = print_line
        self._services: list[Service] = []
        self._broker: EmbeddedBroker | None = None
        self._redis_url = os.environ.get("PLINTH_REDIS_URL", "")
        self._is_ready = False
        #: The short-lived process that selects the device of training runs.
        self._device_process: subprocess.Popen[bytes] | None = None
        #: Read end of the pipe to the services; see `_open_parent_pipe`.
        self._pipe = -1

    @property
    def url(self) -> str:
        """URL of the API as reached from this machine."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @contextlib.contextmanager
    def acquire_folder(self) -> Iterator[None]:
        """Lock the folder, and stop all services at the end.

        Processes left over from an earlier run are ended first.
        Raises `AlreadyRunning` if another `plinth up` uses the folder.
        """
        os.umask(0o077)
        self._home.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(exist_ok=True)
        with self._lock(), self._open_parent_pipe():
            self._end_leftovers()
            try:
                yield
            finally:
                self._stop()

    def start(self, stop: threading.Event) -> None:
        """Start all services and return when they are ready, or when `stop` is set.

        Raises `StackError` if a service does not start.
        """
        self._port = _find_free_port(self._host, self._port)
        make_api_key(self._home)
        if not self._redis_url:
            broker = self._broker = EmbeddedBroker(self._home / "broker", log=self._log_path("broker"))
            self._redis_url = broker.start()
            self._add_service("broker", lambda: _start_broker(broker), broker.process)
        self._migrate(stop)
        for name in ("app", "worker"):
            self._add_service(name, self._make_launcher(name))
        self._wait_until_ready(stop)

    def supervise(self, stop: threading.Event) -> None:
        """Restart services that end, until `stop` is set.

        Prints the device as soon as PyTorch has selected it, in a process of its own.
        """
        if not stop.is_set():
            self._log_path("device").unlink(missing_ok=True)
            self._device_process = self._make_launcher("worker.jobs.device_probe", log="device")()
        rotate_at = time.monotonic() + ROTATE_EVERY_SECONDS
        while not stop.wait(WATCH_SECONDS):
            for service in self._services:
                self._check_service(service)
            self._print_device()
            if time.monotonic() > rotate_at:
                rotate_at = time.monotonic() + ROTATE_EVERY_SECONDS
                for log in self._logs.glob("*.log"):
                    processes.rotate(log)

    @property
    def _logs(self) -> Path:
        return self._home / "logs"

    def _log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running_stack = read_stack(self._home)
                location = (
                    f" at {running_stack['url']} (process {running_stack.get('pid')})" if "url" in running_stack else ""
                )
                raise AlreadyRunning(
                    f"Plinth already runs in {self._home}{location}. "
                    "Stop it first (plinth down), or use another folder: plinth up --home FOLDER --port 0"
                ) from None
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _open_parent_pipe(self) -> Iterator[None]:
        """Open a pipe whose end-of-file notifies the services that this process has ended."""
        self._pipe, write_end = os.pipe()
        try:
            yield
        finally:
            os.close(write_end)
            os.close(self._pipe)

    def _end_leftovers(self) -> None:
        """End processes of a killed run whose pid and start time match the record."""
        names = [
            record["name"]
            for record in read_stack(self._home).get("processes", [])
            if processes.end_leftover(record["pid"], record["identity"])
        ]
        if names:
            self._print_line(f"Ended processes left over from an earlier run: {', '.join(names)}.")

    def _write_record(self) -> None:
        """Record the URL and processes, for clients and for the next start."""
        record = {
            "pid": os.getpid(),
            "identity": processes.identify(os.getpid()),
            "url": self.url,
            "redis_url": self._redis_url,
            "ready": self._is_ready,
            "processes": [
                {"name": service.name, "pid": service.process.pid, "identity": processes.identify(service.process.pid)}
                for service in self._services
            ],
        }
        unfinished = stack_file(self._home).with_suffix(".new")
        unfinished.write_text(json.dumps(record, indent=1))
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
            # Without this, a folder named `app` in the current directory would be imported.
            "PYTHONSAFEPATH": "1",
        }

    def _make_launcher(self, module: str, *, log: str | None = None) -> Callable[[], subprocess.Popen[bytes]]:
        return lambda: processes.spawn(
            [sys.executable, "-m", module],
            log=self._log_path(log or module),
            environment=self._environment(),
            pass_descriptors=[self._pipe],
        )

    def _migrate(self, stop: threading.Event) -> None:
        process = self._make_launcher("migrations")()
        while process.poll() is None:
            if stop.wait(0.02):
                processes.end([process], grace_seconds=STOP_SECONDS)
                return
        if process.returncode != 0:
            log = self._read_log_end("migrations")
            if "ModuleNotFoundError" in log:
                raise StackError(f"The server is not installed. Install it with: {install_command('server')}\n{log}")
            raise StackError(f"The database migration failed. Check PLINTH_DATABASE_URL and this log:\n{log}")

    def _add_service(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._services.append(Service(name, ChildSupervisor(start, RESTART_POLICY, process)))
        self._write_record()

    def _wait_until_ready(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not stop.wait(0.05):
            for service in self._services:
                if (code := service.process.poll()) is not None:
                    log = self._read_log_end(service.name)
                    message = f"{service.name} ended during startup ({_describe_exit(code)}). Its log has the cause:"
                    raise StackError(f"{message}\n{log}")
            readiness = self._fetch_readiness()
            if readiness.get("ready") and readiness.get("workers", {}).get("ok"):
                self._is_ready = True
                self._write_record()
                return
            if time.monotonic() > deadline:
                raise StackError(
                    f"The service was not ready after {READY_SECONDS:.0f} s: {json.dumps(readiness)}. "
                    f"See the logs: {self._logs}"
                )

    def _fetch_readiness(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=3)
        try:
            connection.request("GET", "/readyz")
            readiness = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        finally:
            connection.close()
        return readiness if isinstance(readiness, dict) else {}

    def _check_service(self, service: Service) -> None:
        if (code := service.supervisor.poll()) is not None:
            # Remaining processes of its group would block the port or folder for the next one.
            processes.kill_group(service.process.pid)
            self._print_line(
                f"{datetime.now(UTC):%H:%M:%S} UTC  {service.name} ended ({_describe_exit(code)}); "
                f"restarting it in {service.supervisor.delay_seconds:g} s. Log: {self._log_path(service.name)}"
            )
        try:
            if not service.supervisor.restart_if_due():
                return
        except (PlinthError, OSError) as error:
            self._print_line(f"{service.name} did not start: {error}")
            return
        self._write_record()
        self._print_line(
            f"{datetime.now(UTC):%H:%M:%S} UTC  {service.name} is running again (process {service.process.pid})."
        )

    def _print_device(self) -> None:
        if self._device_process is None or self._device_process.poll() is None:
            return
        self._device_process = None
        last_line = processes.read_last_lines(self._log_path("device"), count=1)
        try:
            device = json.loads(last_line)
            self._print_line(f"device  {device['device']}: {device['why']} (PyTorch {device['torch']})")
        except (ValueError, KeyError, TypeError):
            self._print_line(f"device  unknown: {last_line} (run `plinth doctor` for details)")

    def _stop(self) -> None:
        """End the processes that use the broker, then the broker, within their time limits."""
        clients = [service.process for service in self._services if service.name != "broker"]
        processes.end([*clients, self._device_process] if self._device_process else clients, grace_seconds=STOP_SECONDS)
        if self._broker is not None:
            self._broker.stop(grace_seconds=BROKER_STOP_SECONDS)
        stack_file(self._home).unlink(missing_ok=True)

    def _read_log_end(self, name: str) -> str:
        return f"{processes.read_last_lines(self._log_path(name))}\n(full log: {self._log_path(name)})"


def make_api_key(home: Path) -> None:
    """Create an API key file that only its owner can read.

    Nothing is created if the folder has a key, or if `PLINTH_API_KEY` is set.
    """
    if os.environ.get("PLINTH_API_KEY"):
        return
    file = api_key_file(home)
    if file.exists() and file.read_text().strip():
        file.chmod(0o600)
        return
    file.touch(mode=0o600)
    file.write_text(f"plinth_{secrets.token_urlsafe(32)}\n")


def _start_broker(broker: EmbeddedBroker) -> subprocess.Popen[bytes]:
    broker.start()
    return broker.process


def _find_free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0. Raises `StackError` if unavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StackError(
                    f"Port {port} on {host} is in use by another program. "
                    "Use another port (plinth up --port PORT), or any free port (plinth up --port 0)."
                ) from None
            message = f"Cannot listen on {host}:{port}: {error.strerror or error}."
            raise StackError(f"{message} Choose others with --host and --port.") from None
        return int(probe.getsockname()[1])


def _describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
