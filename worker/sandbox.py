"""`python -m worker.sandbox`: read untrusted uploads in a process without secrets, database or network.

The process reads a request from its standard input, writes its result and a report to the paths in the request, and
prints its progress to its standard output. The kernel limits its memory, its processor time and the size of its files.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ml.data.issues import to_printable
from ml.errors import TrainingInterrupted
from ml.out_of_memory import is_out_of_memory
from worker.child_process import environment_without_secrets
from worker.control_channel import die_with_parent

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
#: Added to the niceness of the parent process.
NICENESS = 5
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
POLL_SECONDS = 0.5
#: Interval at which the reader of a dataset reports its rows.
ROWS_SECONDS = 1.0
MAX_LINE_BYTES = 4096
#: Each thread of a numerical library reserves memory, which counts towards the limit.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """Limits that the kernel enforces on the sandboxed process."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


class LimitExceeded(Exception):
    """The reader exceeded a limit of a resource: memory, disk or cpu."""

    def __init__(self, message: str, *, resource: Literal["memory", "disk", "cpu"]) -> None:
        super().__init__(message)
        self.resource = resource


class ReaderDied(Exception):
    """The reader ended without a report, but exceeded no limit."""


def read_in_sandbox(
    *,
    arguments: dict[str, Any],
    report: Path,
    limits: ResourceLimits,
    reader: str = "dataset",
    on_phase: Callable[[str], None] = lambda _: None,
    should_leave: Callable[[], bool] = lambda: False,
) -> None:
    """Call `READERS[reader](arguments)` in a sandboxed process.

    Args:
        arguments: Passed to the reader as JSON.
        report: File for the reader's report, in JSON.
        limits: Limits that the kernel enforces.
        reader: A key of `READERS`.
        on_phase: Called with the name of each phase that the reader begins.
        should_leave: Polled; if it returns True the process is killed.

    Raises:
        LimitExceeded: A limit was exceeded.
        OSError: The disk is full.
        ReaderDied: The process ended for another reason.
        TrainingInterrupted: `should_leave` returned True.
    """
    request = {"reader": reader, "arguments": arguments, "report": str(report), "limits": asdict(limits)}
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={**environment_without_secrets(), **SINGLE_THREADED, **OFFLINE, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None, "it is a pipe"
        # One line; the pipe stays open, as its end tells the process that this one has ended.
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        try:
            _listen(process, on_phase, should_leave)
        except BaseException:
            process.kill()
            raise
        status = process.wait()
    match status:
        case 0:
            return
        case errno.ENOMEM:
            raise LimitExceeded(
                f"reading it takes more than {limits.memory_bytes:,} bytes of memory", resource="memory"
            )
        case errno.EFBIG:
            raise LimitExceeded(f"its content takes more than {limits.file_bytes:,} bytes on disk", resource="disk")
        case _ if status == -signal.SIGXCPU:
            raise LimitExceeded(f"reading it takes more than {limits.cpu_seconds} s of processor time", resource="cpu")
        case errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case _:
            raise ReaderDied(f"the process that read the upload ended with status {status}")


def _listen(
    process: subprocess.Popen[bytes], on_phase: Callable[[str], None], should_leave: Callable[[], bool]
) -> None:
    """Report phases until the process closes its standard output, which it does when it ends."""
    assert process.stdout is not None, "it is a pipe"
    pending = b""
    while True:
        if select.select([process.stdout], [], [], POLL_SECONDS)[0]:
            chunk = os.read(process.stdout.fileno(), MAX_LINE_BYTES)
            if not chunk:
                return
            *lines, pending = (pending + chunk)[-MAX_LINE_BYTES:].split(b"\n")
            for line in lines:
                on_phase(to_printable(line.decode("utf-8", "replace")))
        if should_leave():
            raise TrainingInterrupted("requested to leave while an upload was read")


def main() -> int:
    """Run the sandboxed process: apply the limits, call the reader, write its report."""
    # Prints of libraries must not be taken for phases.
    phases = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.loads(sys.stdin.readline())
    _apply_limits(ResourceLimits(**request["limits"]))
    # After the limits: a process with a second thread can no longer leave its network.
    die_with_parent(sys.stdin.fileno())
    try:
        report = READERS[request["reader"]](request["arguments"], lambda phase: print(phase, file=phases))
        Path(request["report"]).write_bytes(report)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return errno.EFBIG if error.errno == errno.EFBIG else errno.ENOSPC
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return errno.ENOMEM
    return 0


# Libraries are imported inside of these: a process with threads of a library could not leave its network.


def _read_dataset(arguments: dict[str, Any], on_phase: Callable[[str], None]) -> bytes:
    """Import an upload.

    Its phases are the numbers of rows read so far, one a second.
    """
    from pydantic_core import to_json

    from ml.data.importing.importer import import_dataset
    from ml.data.limits import Limits
    from ml.tasks import TASKS

    reported_at = time.monotonic()

    def report_rows(count: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= ROWS_SECONDS:
            reported_at = time.monotonic()
            on_phase(str(count))

    sources, into = [Path(source) for source in arguments.pop("sources")], Path(arguments.pop("into"))
    limits = Limits(**arguments.pop("limits", {}))
    arguments["earlier"] = _open_earlier(arguments)
    return to_json(import_dataset(sources, into, **arguments, limits=limits, tasks=TASKS, on_rows=report_rows))


def _derive_dataset(arguments: dict[str, Any], _on_phase: Callable[[str], None]) -> bytes:
    """Apply operations to a stored dataset, or to an upload that is read again."""
    from pydantic_core import to_json

    from ml.data.derivation.derive import derive_dataset
    from ml.data.derivation.operations import LeaveOutBadRows, ReadAgain, parse_operations
    from ml.data.importing.importer import import_dataset
    from ml.data.limits import Limits
    from ml.tasks import TASKS

    into, operations = Path(arguments["into"]), parse_operations(arguments["operations"])
    dataset = _to_path(arguments["dataset"])
    license = None
    remaining = [operation for operation in operations if not isinstance(operation, LeaveOutBadRows | ReadAgain)]
    leaves_out = any(isinstance(operation, LeaveOutBadRows) for operation in operations)
    if dataset is None:
        upload = arguments["upload"]
        sources = [Path(source) for source in upload.pop("sources")]
        dataset = into.with_name("retained") if remaining else into
        limits = Limits(**upload.pop("limits", {}))
        upload["earlier"] = _open_earlier(upload)
        report = import_dataset(sources, dataset, **upload, limits=limits, tasks=TASKS, leaves_out_bad_rows=leaves_out)
        license = report.license
        if not remaining or report.state == "rejected":
            return to_json(report)
    others = {reference: Path(folder) for reference, folder in arguments["others"].items()}
    feedback = _to_path(arguments.get("feedback"))
    derived = derive_dataset(
        dataset, into, remaining, name=arguments["name"], others=others, feedback=feedback, tasks=TASKS
    )
    return to_json(derived.model_copy(update={"license": license}))


def _open_earlier(arguments: dict[str, Any]) -> Any:
    """Open the version that rows are appended to; None without one."""
    from ml.data.derivation.earlier_version import EarlierVersion

    folder, name = arguments.pop("earlier", None), arguments.pop("earlier_name", "")
    return EarlierVersion.open(Path(folder), name) if folder else None


def _to_path(path: str | None) -> Path | None:
    return Path(path) if path else None


def _read_model(arguments: dict[str, Any], on_phase: Callable[[str], None]) -> bytes:
    from ml.errors import MLError
    from ml.learning.interchange.importer import import_model

    try:
        source, into = Path(arguments["source"]), Path(arguments["into"])
        report = import_model(source, into, **arguments["options"], on_phase=on_phase)
    except MLError as error:
        report = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return json.dumps(report).encode()


#: Functions of the sandboxed process: from arguments and a callback for phases to a report in JSON.
READERS: Final[Mapping[str, Callable[[dict[str, Any], Callable[[str], None]], bytes]]] = {
    "dataset": _read_dataset,
    "derivation": _derive_dataset,
    "model": _read_model,
}


def _apply_limits(limits: ResourceLimits) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The soft limit sends SIGXCPU, which names the cause; the hard one SIGKILL, which does not.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    # RLIMIT_AS would count mapped files, and address space that libraries reserve but never use.
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    if sys.platform == "linux":
        _leave_network()


def _leave_network() -> None:
    """Enter an empty network namespace, if the machine allows it.

    The other limits hold in any case.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


if __name__ == "__main__":
    sys.exit(main())
