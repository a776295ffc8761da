"""Processes of a training that uses several devices: one, a rank, for each device.

Rank 0 is the process that was asked to train. It starts the others, which prepare and train as it does, write nothing
and end with the training. They belong to its process group, and end when it does.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, TypeVar

import torch

from ml.data.dataset import Dataset
from ml.errors import RankEnded
from ml.learning.nn import device as devices
from ml.learning.training.distributed import ProcessGroup, SingleProcess
from ml.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from ml.learning.training.progress import Progress, Stop
    from ml.spec.schema import Spec

T = TypeVar("T", Path, str)

#: Program of the other ranks.
MODULE: Final = "ml.learning.pipeline.rank"
#: Time for the kernel to report the end of a rank whose sockets it has closed.
END_SECONDS: Final = 2.0
SEE_LOG: Final = "See the job log for the cause."
KILLED: Final = (
    "Unless someone killed it by hand, the machine ran out of memory: lower schedule.batch_size, or set "
    "schedule.accumulate."
)


class TrainingOptions(TypedDict, total=False):
    """Base models, device and callbacks of a run."""

    #: Package of the base model, or by slot the package that provides its backbone.
    start_from: Path | Mapping[str, Path] | None
    #: Packages of the models that options name, by path of the option (`ml.spec.schema.references`).
    models: Mapping[str, Path] | None
    #: `auto`, or the name of a device.
    device: str
    #: Names of the devices of a training on several; by default those that `device` and the spec ask for.
    devices: Sequence[str]
    #: Threads of torch; None leaves them as they are. A resumed run takes those of its checkpoint.
    threads: int | None
    #: Folder of encoded rows for all runs of this machine; None for one in the folder of the run.
    cache: Path | None
    #: Called with each progress report; by default nothing is.
    on_progress: Callable[[Progress], None]
    #: Called after each step and batch; by default nothing stops a run.
    should_stop: Callable[[], Stop | None]


@dataclass(frozen=True, slots=True)
class RankRequest:
    """Training that a rank takes part in; one line of JSON on its standard input."""

    rank: int
    #: Device of each rank.
    devices: Sequence[str]
    #: File by which ranks find each other.
    rendezvous: str
    spec: dict[str, Any]
    dataset: str
    workdir: str
    start_from: str | dict[str, str] | None
    models: dict[str, str]
    threads: int | None
    cache: str | None
    max_rows: int | None

    def options(self) -> TrainingOptions:
        """Return the options of the training in this rank, which reports nothing."""
        return {
            "start_from": _map_bases(Path, self.start_from),
            "models": _map_paths(Path, self.models),
            "device": self.devices[self.rank],
            "threads": self.threads,
            "cache": Path(self.cache) if self.cache else None,
        }


class Rank:
    """The only process of a training, and base class of one of several."""

    _group: ProcessGroup | None = None

    def connect(self) -> SingleProcess:
        """Connect to the other processes, once this one is prepared."""
        return SingleProcess()

    def close(self) -> None:
        """Disconnect after the training."""
        if self._group is not None:
            self._group.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: this process has started no other."""


class FirstRank(Rank):
    """Rank 0, which starts the others.

    Leaving the context ends them, and raises `RankEnded` if one of them caused the error.
    """

    def __init__(self, request: RankRequest) -> None:
        """Start a process for each device of the request but the first."""
        self._request = request
        self._processes = [self._start(rank) for rank in range(1, len(request.devices))]

    def _start(self, rank: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(replace(self._request, rank=rank))).encode() + b"\n")
        process.stdin.flush()
        return process

    def connect(self) -> SingleProcess:
        """Return the group of all ranks; raises `RankEnded` if one has ended while it prepared."""
        for process in self._processes:
            assert process.stdout is not None
            if not process.stdout.read(1):
                self._raise_ended()
                raise RankEnded("a rank has ended before the training began", hint=SEE_LOG)
        self._group = _make_group(self._request)
        return self._group

    def close(self) -> None:
        """Disconnect after the training, and end the other ranks, which have done all their steps."""
        super().close()
        self._kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # The error of an operation in which another rank is missing, unless memory is.
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                self._raise_ended()
        finally:
            self._kill()

    def _raise_ended(self) -> None:
        for rank, process in enumerate(self._processes, start=1):
            try:
                status = process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            if status == errno.ENOMEM:
                raise MemoryError(f"the process of rank {rank} is out of memory")
            end = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise RankEnded(
                f"the process of rank {rank} ended with {end}", hint=KILLED if status == -signal.SIGKILL else SEE_LOG
            )

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes.clear()


class LaterRank(Rank):
    """A rank that another process has started."""

    def __init__(self, request: RankRequest, *, ready: int) -> None:
        """`ready` is the descriptor of a pipe to rank 0."""
        self._request = request
        self._ready = ready

    def connect(self) -> SingleProcess:
        """Tell rank 0 that this rank is prepared, and return the group of all ranks."""
        os.write(self._ready, b".")
        self._group = _make_group(self._request)
        return self._group


def limit_devices(names: Sequence[str], spec: Spec, dataset: Path) -> list[str]:
    """Return as many of all devices as a batch has rows for.

    More of them would raise the batch size.
    """
    rows = Dataset.open(dataset).summary.splits.get("train", 0)
    return list(names)[: max(1, spec.schedule.batch_rows(rows) // (spec.schedule.accumulate or 1))]


def start_ranks(
    spec: Spec, dataset: Path, workdir: Path, options: TrainingOptions, *, max_rows: int | None = None
) -> Rank:
    """Start the other processes of a training on several devices.

    Sets the device of this one in `options`.
    """
    names = options.get("devices") or [
        device.name for device in devices.choose_several(options.get("device", "auto"), spec.devices or 1)
    ]
    if spec.devices == "all":
        names = limit_devices(names, spec, dataset)
    options["device"] = names[0]
    if len(names) == 1:
        return Rank()
    request = RankRequest(
        rank=0,
        devices=names,
        rendezvous=str(Path(tempfile.mkdtemp(prefix="ranks-", dir=workdir)) / "rendezvous"),
        spec=spec.model_dump(mode="json"),
        dataset=str(dataset),
        workdir=str(workdir),
        start_from=_map_bases(str, options.get("start_from")),
        models=_map_paths(str, options.get("models") or {}),
        threads=options.get("threads"),
        cache=str(cache) if (cache := options.get("cache")) else None,
        max_rows=max_rows,
    )
    return FirstRank(request)


def _make_group(request: RankRequest) -> ProcessGroup:
    device = torch.device(request.devices[request.rank])
    return ProcessGroup(request.rank, len(request.devices), device=device, rendezvous=Path(request.rendezvous))


def _map_bases(convert: type[T], bases: Any) -> T | dict[str, T] | None:
    if bases is None:
        return None
    return _map_paths(convert, bases) if isinstance(bases, Mapping) else convert(bases)


def _map_paths(convert: type[T], paths: Mapping[str, Any]) -> dict[str, T]:
    return {name: convert(path) for name, path in paths.items()}
