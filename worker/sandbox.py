"""`python -m worker.sandbox`: reads what strangers uploaded, where the worst that can happen is that it dies.

It is told no secret, no database and no network; it takes a request on its standard input, leaves what it made and a
report where the request says, and tells on its standard output how far it is. The kernel bounds its memory, its
processor time and the size of its files.
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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ml.data.issues import to_printable
from ml.errors import TrainingInterrupted
from worker.child_process import environment_without_secrets
from worker.control_channel import die_with_parent
from worker.exit_status import is_out_of_memory

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
NICENESS = 5
"""Beyond that of the process that starts it."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
LISTEN_SECONDS = 0.5
LONGEST_HEARD_BYTES = 4096
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Each thread of a numerical library reserves memory that the limit would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """What the kernel allows the jailed process."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


class LimitExceeded(Exception):
    """The reader went beyond a bound; the message says which."""


class ReaderDied(Exception):
    """The reader ended without a report and beyond no bound."""


def read_in_sandbox(
    *,
    arguments: dict[str, Any],
    report: Path,
    bounds: ResourceLimits,
    reader: str = "dataset",
    on_phase: Callable[[str], None] = lambda _: None,
    should_leave: Callable[[], bool] = lambda: False,
) -> None:
    """Have `READERS[reader]` do its work with `arguments` in a jailed process, its report left as JSON in `report`.

    Raises `LimitExceeded`, `OSError` where the disk is full, `ReaderDied`, and `TrainingInterrupted` if asked to leave.
    """
    request = {"reader": reader, "arguments": arguments, "report": str(report), "bounds": asdict(bounds)}
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={**environment_without_secrets(), **SINGLE_THREADED, **OFFLINE, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None, "a pipe was asked for"
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
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
            raise LimitExceeded(f"reading it takes more than {bounds.memory_bytes:,} bytes of memory")
        case errno.EFBIG:
            raise LimitExceeded(f"what is in it takes more than {bounds.file_bytes:,} bytes on disk")
        case _ if status == -signal.SIGXCPU:
            raise LimitExceeded(f"reading it takes more than {bounds.cpu_seconds} s of processor time")
        case errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case _:
            raise ReaderDied(f"the process that read the upload ended with {status}")


def _listen(
    process: subprocess.Popen[bytes], on_phase: Callable[[str], None], should_leave: Callable[[], bool]
) -> None:
    """Until the other end is closed, which is the end of the process."""
    assert process.stdout is not None, "a pipe was asked for"
    pending = b""
    while True:
        if select.select([process.stdout], [], [], LISTEN_SECONDS)[0]:
            heard = os.read(process.stdout.fileno(), LONGEST_HEARD_BYTES)
            if not heard:
                return
            *lines, pending = (pending + heard)[-LONGEST_HEARD_BYTES:].split(b"\n")
            for line in lines:
                on_phase(to_printable(line.decode("utf-8", "replace")))
        if should_leave():
            raise TrainingInterrupted("asked to leave while an upload was read")


def main() -> int:
    """Inside."""
    die_with_parent()
    # What a library prints must not be taken for what this process tells.
    telling = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.load(sys.stdin)
    _lock_up(ResourceLimits(**request["bounds"]))
    try:
        report = READERS[request["reader"]](request["arguments"], lambda phase: print(phase, file=telling))
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


# Libraries are imported inside of these: those that start threads would keep the process in its network.


def _read_dataset(arguments: dict[str, Any], _tell: Callable[[str], None]) -> bytes:
    from pydantic_core import to_json

    from ml.data.importing.importer import import_dataset
    from ml.tasks import TASKS

    sources = [Path(source) for source in arguments.pop("sources")]
    return to_json(import_dataset(sources, Path(arguments.pop("into")), **arguments, tasks=TASKS))


def _read_model(arguments: dict[str, Any], tell: Callable[[str], None]) -> bytes:
    from ml.errors import MLError
    from ml.learning.interchange.importer import import_model

    try:
        report = import_model(Path(arguments["source"]), Path(arguments["into"]), **arguments["asked"], on_phase=tell)
    except MLError as error:
        report = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return json.dumps(report).encode()


READERS: Final[Mapping[str, Callable[[dict[str, Any], Callable[[str], None]], bytes]]] = {
    "dataset": _read_dataset,
    "model": _read_model,
}
"""What can be asked of a jailed process: from arguments and a way to tell the phase to a report."""


def _lock_up(bounds: ResourceLimits) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The soft limit ends it by SIGXCPU, which tells why; the hard one by SIGKILL, which does not.
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu_seconds, bounds.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (bounds.file_bytes, bounds.file_bytes))
    # Not the address space: libraries reserve much more of it than they use, and mapped files would count.
    resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory_bytes, bounds.memory_bytes))
    if sys.platform == "linux":
        _leave_the_network()


def _leave_the_network() -> None:
    """Where the machine allows it; the other bounds hold anywhere."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


if __name__ == "__main__":
    sys.exit(main())
