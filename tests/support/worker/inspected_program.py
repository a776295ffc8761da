"""Program for tests that writes down what a process finds at its start."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import psutil

#: Variables that libraries set in their own process when they are imported, or that differ for each process.
OWN_VARIABLES = ("PLINTH_CONTROL_CHANNEL", "ORT_DISABLE_TELEMETRY", "TORCHINDUCTOR_CACHE_DIR")


def inspect() -> dict[str, Any]:
    """Return what a process inherits, without what differs between two equal ones."""
    process = psutil.Process()
    main = sys.modules["__main__"]
    return {
        "arguments": sys.argv[1:],
        "command": process.cmdline()[:4],
        "current folder": str(Path.cwd()),
        "descriptors": sorted(os.path.realpath(f"/proc/self/fd/{number}") for number in range(3)),
        "number of descriptors": process.num_fds(),
        "environment": {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES},
        "ignored signals": [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN],
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "leads": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:6] == "RLIMIT"},
        "module": [main.__name__, main.__spec__.name if main.__spec__ else None],
        "niceness": process.nice(),
        "path": sys.path,
        "threads": process.num_threads(),
        "umask": os.umask(0o22),
    }


if __name__ == "__main__":
    facts, end = Path(sys.argv[1]), sys.argv[2]
    facts.write_text(json.dumps(inspect()))
    if end == "raise":
        raise OverflowError("the end of this program")
    if end == "abort":
        os.abort()
    sys.stdout.write("not flushed")
    sys.exit(int(end) if end.isdecimal() else end)
