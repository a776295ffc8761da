"""A container engine without containers: each service of the composition becomes processes of this machine.

Its command, variables and health check are taken word for word, but for what a container has of its own: the names of
other services become loopback ports, `/data` a folder. Two images are not available as programs: Valkey comes
without its client, and moto's S3 server replaces MinIO; `stand_ins/` holds the client commands.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Self

from plinth.local.broker import resolve_server_binary
from tests.deployment.composition import image, seconds, services
from tests.support.servers import Postgres

STAND_INS = Path(__file__).parent / "stand_ins"
#: Where each listens inside its container.
PORTS = {"api": 8000, "postgres": 5432, "valkey": 6379, "minio": 9000}
ONE_SHOT_SECONDS = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class ImagePostgres(Postgres):
    """Initialize PostgreSQL as its image does: user, password, database."""

    def prepare(self, environment: Mapping[str, str], port: int) -> tuple[list[str], dict[str, Any]]:
        """The command that serves it, and whom to run it as."""
        user, password = environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]
        database = environment["POSTGRES_DB"]
        server = str(self._bin / "postgres")
        subprocess.run(
            [server, "--single", "-D", str(self._data), "postgres"],
            input=f"CREATE ROLE {user} LOGIN PASSWORD '{password}'\nCREATE DATABASE {database} OWNER {user}\n".encode(),
            stdout=subprocess.DEVNULL,
            check=True,
            **self._as,
        )
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={self.directory}"]
        return [server, "-D", str(self._data), *(part for setting in settings for part in ("-c", setting))], self._as

    @property
    def programs(self) -> Path:
        return self._bin


class Engine:
    """`up`, then `down`; leaving it ends what still runs."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.services = {name: one for name, one in services(variables).items() if "profiles" not in one}
        self.ports = {name: free_port() for name in PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._postgres = ImagePostgres()
        (folder / "programs").mkdir()
        (folder / "programs" / "valkey-server").symlink_to(resolve_server_binary())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._postgres.stop()

    def up(self) -> None:
        """Start each service after its dependencies; returns when all are healthy."""
        conditions = {name: service.get("depends_on", {}) for name, service in self.services.items()}
        for name in TopologicalSorter(conditions).static_order():
            for awaited, how in conditions[name].items():
                self._await(awaited, how["condition"])
            self._start(name)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self._await(name, "service_healthy")

    def down(self) -> dict[str, tuple[int, float]]:
        """Stop the services, dependents first; returns exit status and seconds of each."""
        ended = {}
        for name, process in reversed(self.processes.items()):
            if process.poll() is None:
                began = time.monotonic()
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
                try:
                    process.wait(seconds(self.services[name]["stop_grace_period"]))
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"{name} did not stop:\n{self.log(name)}") from None
                ended[name] = (process.returncode, time.monotonic() - began)
        return ended

    def environment(self, name: str) -> dict[str, str]:
        """Merge the variables of image, service and test machine."""
        service = self.services[name]
        built = image(service["build"]["target"])["environment"] if "build" in service else {}
        value_value = {**built, **service.get("environment", {})}
        programs = [self._folder / "programs", STAND_INS, Path(sys.executable).parent, self._postgres.programs]
        return {
            **{key: self._place(name, value) for key, value in value_value.items()},
            "PATH": os.pathsep.join([*map(str, programs), os.defpath]),
            "TMPDIR": str(self._folder),
            "OMP_NUM_THREADS": "1",
            **{
                "api": {"PLINTH_PORT": str(self.ports["api"])},
                "valkey": {"VALKEYCLI_PORT": str(self.ports["valkey"])},
                "minio": {"MC_HOST_local": f"http://127.0.0.1:{self.ports['minio']}"},
            }.get(name, {}),
        }

    def log(self, name: str) -> str:
        """Return the log of a service."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def volume(self, name: str) -> Path:
        """A service's `/data`."""
        return self._folder / name

    def _start(self, name: str) -> None:
        self.volume(name).mkdir()
        command, options = self._command(name)
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **{"cwd": self.volume(name), **options},
            )

    def _command(self, name: str) -> tuple[list[str], dict[str, Any]]:
        service = self.services[name]
        written = [self._place(name, word) for word in [*service.get("entrypoint", []), *service.get("command", [])]]
        match name:
            case "postgres":
                return self._postgres.prepare(self.environment(name), self.ports[name])
            case "minio":
                assert written == ["server", str(self.volume(name))]
                return ["moto_server", "-H", "127.0.0.1", "-p", str(self.ports[name])], {}
            case "valkey":
                return [*written, "--bind", "127.0.0.1", "--port", str(self.ports[name])], {}
        return written, {}

    def _place(self, name: str, text: str) -> str:
        """Map names, ports and paths of containers to this machine."""
        for service, port in PORTS.items():
            text = text.replace(f"{service}:{port}", f"127.0.0.1:{self.ports[service]}")
        if name in PORTS:
            text = text.replace(f"127.0.0.1:{PORTS[name]}", f"127.0.0.1:{self.ports[name]}")
            text = text.replace(f"--port={PORTS[name]}", f"--port={self.ports[name]}")
        return {"/data": str(self.volume(name)), "0.0.0.0": "127.0.0.1"}.get(text, text)

    def _await(self, name: str, condition: str) -> None:
        process = self.processes[name]
        if condition == "service_completed_successfully":
            assert process.wait(ONE_SHOT_SECONDS) == 0, f"{name} failed:\n{self.log(name)}"
            return
        assert condition == "service_healthy"
        check = self.services[name]["healthcheck"]
        deadline = time.monotonic() + seconds(check["start_period"])
        while (text := self._examine(name, check)) is not None:
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy:\n{text}\n{self.log(name)}"
            time.sleep(0.1)

    def _examine(self, name: str, check: Mapping[str, Any]) -> str | None:
        """Run a health check once: what it said where the service is not well."""
        kind, *command = check["test"]
        assert kind == "CMD"
        done = subprocess.run(
            [self._place(name, word) for word in command],
            env=self.environment(name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds(check["timeout"]),
            check=False,
        )
        return None if done.returncode == 0 else done.stdout.decode(errors="replace")
