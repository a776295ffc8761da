"""What the two children have in common: whose run it is, where its files lie, and how its end is told."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from store import jobs
from store.database import reading
from store.jobs import Claim
from worker.control_channel import ChildEnd
from worker.exit_status import ExitStatus, classify_error
from worker.run_folder import run_folder

LOG_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
NICENESS = 5
"""Against serving on the same cores, a third of the weight: it comes first, and a run goes on."""
OUT_OF_MEMORY_SCORE = "900"

log = logging.getLogger(__name__)


def log_in_utc() -> None:
    """One line an entry, to the standard error."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")


def main(work: Callable[[Claim, Path, ChildEnd], None]) -> ExitStatus:
    """Do the work of the run named on the command line; its end is told by status and last words."""
    line = ChildEnd()
    _step_back()
    log_in_utc()
    try:
        job_id, fence = sys.argv[1], int(sys.argv[2])
        with reading() as session:
            claim = jobs.get_claim(session, job_id, fence)
        folder = run_folder(job_id, fence)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        work(claim, folder, line)
    except Exception as error:
        status, words = classify_error(error)
        log.info("ends with %s", status.name, exc_info=error if words else None)
        if words:
            line.say(words)
        return status
    return ExitStatus.DONE


def leave(status: ExitStatus) -> NoReturn:
    """End at once: all is written, and taking down the learning library would keep the slot for another second."""
    logging.shutdown()
    os._exit(status)


def _step_back() -> None:
    """Serving comes first, and where memory runs out this process is the one to go."""
    os.nice(NICENESS)
    # Where the kernel weighs sessions against each other (sched_autogroup), and a run has one of its own, being nice
    # counts only within it: the session has to be nice as well.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))
    # A dump would hold all of the memory, on the disk that checkpoints need.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_SCORE)
