"""The service as a user runs it, on one core, with keys and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Self

from benchmarks.serving.load import Load, drive
from tests.support.api_process import ApiProcess


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    work: str
    reached: str
    aim: str = ""
    note: str = ""
    #: Values of all repetitions, of which the record has median and range; empty for a single one.
    repetitions: Sequence[float] = ()
    unit: str = ""

    @classmethod
    def ratio(cls, work: str, ratios: Sequence[float], *, aim: str, note: str) -> Self:
        """Return the median of ratios of turns that follow each other."""
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} turns"
        return cls(work, f"{median(ratios):.2f} x", aim, f"{note}; {spread}", ratios, "x")


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request, which is sent with several bodies in turn."""

    name: str
    path: str
    bodies: list[bytes]
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


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
        is_warm: bool = False,
    ) -> Load:
        """After a second of the same, which warms up, unless it is warm."""
        api = self.api
        sent = {"Authorization": f"Bearer {api.key}", "Content-Type": content_type, "Host": f"127.0.0.1:{api.port}"}
        sent |= headers or {}
        if not is_warm:
            drive(api.port, api.pid, path, bodies, sent, seconds=1, connections=connections)
        return drive(api.port, api.pid, path, bodies, sent, seconds=seconds or self.seconds, connections=connections)

    def cpu_ms(self, call: Call, *, connections: int, is_warm: bool) -> float:
        """Return the CPU milliseconds of one request, of which none may fail."""
        if not is_warm:
            # The first request loads the model, however long a busy machine takes.
            headers = {"Content-Type": call.content_type, **call.headers}
            status, _, answer = self.api.request("POST", call.path, headers=headers, body=call.bodies[0])
            assert status == HTTPStatus.OK, f"{call.name}: {answer!r}"
        load = self.drive(
            call.path,
            call.bodies,
            call.content_type,
            connections=connections,
            headers=call.headers,
            is_warm=is_warm,
        )
        assert load.requests, f"{call.name} was never answered"
        assert not load.failed, f"{call.name}: {load.failed} of {load.requests} failed"
        return 1000 / load.per_cpu_second
