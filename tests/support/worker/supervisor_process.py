"""A supervisor for tests: starts one child, and waits until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.support.worker import child_program
from worker.child_process import ChildProcess, environment_for_runs
from worker.fork_server import ForkServer

if __name__ == "__main__":
    server = ForkServer(environment_for_runs()) if sys.argv[3] == "fork" else None
    if server:
        server.start()
    with ChildProcess(
        child_program.__name__,
        sys.argv[1],
        environment=environment_for_runs(),
        log=Path(sys.argv[2]),
        fork_server=server,
    ) as child:
        while not child.wait(0.1):
            time.sleep(0.01)
