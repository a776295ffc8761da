"""The service as a user runs it, on one core, with keys and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import Load, drive
from tests.support.api_process import ApiProcess


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    work: str
    reached: str
    aim: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """The running process, with the duration and the number of connections of the load."""

    api: ApiProcess
    #: A place for what is measured: packages, data.
    folder: Path
    seconds: int
    connections: int

    def register(self, package: Path, *, name: str) -> int:
        """Register a model as a worker does; returns the number of the version."""
        from ml.package.package import ModelPackage
        from tests.support import homes
        from tests.support.factories import register

        with homes.use_home(self.api.home):
            return register(ModelPackage.open(package), name=name)

    def drive(
        self,
        path: str | Sequence[str],
        bodies: list[bytes],
        content_type: str,
        *,
        connections: int,
        seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Load:
        """After a second of the same, which warms up."""
        api = self.api
        sent = {"Authorization": f"Bearer {api.key}", "Content-Type": content_type, "Host": f"127.0.0.1:{api.port}"}
        sent |= headers or {}
        drive(api.port, api.pid, path, bodies, sent, seconds=1, connections=connections)
        return drive(api.port, api.pid, path, bodies, sent, seconds=seconds or self.seconds, connections=connections)
