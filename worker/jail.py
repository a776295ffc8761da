"""`python -m worker.jail`: reads what strangers uploaded, where the worst that can happen is that it dies.

It is told no secret, no database and no network; it takes a request on its standard input and leaves a dataset and a
report where the request says. The kernel bounds its memory, its processor time and the size of its files.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worker.child import environment_without_secrets
from worker.tether import die_with_the_parent

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
NICENESS = 5
"""Beyond that of the process that starts it."""
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Each thread of a numerical library reserves memory that the limit would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the kernel allows the jailed process."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


class BoundExceeded(Exception):
    """The reader went beyond a bound; the message says which."""


class ReaderDied(Exception):
    """The reader ended without a report and beyond no bound."""


def read_in_jail(*, arguments: dict[str, Any], report: Path, bounds: Bounds) -> None:
    """Have `import_dataset(**arguments)` done by a jailed process, its report left as JSON in `report`.

    Raises `BoundExceeded`, `OSError` where the disk is full, or `ReaderDied`.
    """
    request = {"arguments": arguments, "report": str(report), "bounds": asdict(bounds)}
    done = subprocess.run(
        [sys.executable, "-m", "worker.jail"],
        input=json.dumps(request).encode(),
        env={**environment_without_secrets(), **SINGLE_THREADED, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        check=False,
    )
    match done.returncode:
        case 0:
            return
        case errno.ENOMEM:
            raise BoundExceeded(f"reading it takes more than {bounds.memory_bytes:,} bytes of memory")
        case errno.EFBIG:
            raise BoundExceeded(f"what is in it takes more than {bounds.file_bytes:,} bytes on disk")
        case status if status == -signal.SIGXCPU:
            raise BoundExceeded(f"reading it takes more than {bounds.cpu_seconds} s of processor time")
        case errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case status:
            raise ReaderDied(f"the process that read the upload ended with {status}")


def main() -> int:
    """Inside."""
    die_with_the_parent()
    request = json.load(sys.stdin)
    _lock_up(Bounds(**request["bounds"]))
    # Not before: libraries that start threads when they are imported would keep the process in its network.
    from pydantic_core import to_json

    from ml.data.importing import import_dataset
    from ml.tasks import TASKS

    arguments = request["arguments"]
    sources = [Path(source) for source in arguments.pop("sources")]
    try:
        report = import_dataset(sources, Path(arguments.pop("into")), **arguments, purposes=TASKS)
        Path(request["report"]).write_bytes(to_json(report))
    except MemoryError:
        return errno.ENOMEM
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return errno.EFBIG if error.errno == errno.EFBIG else errno.ENOSPC
    return 0


def _lock_up(bounds: Bounds) -> None:
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
