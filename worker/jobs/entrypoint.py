"""The common main function of child processes: claim, scratch folder, exit status."""

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
#: A run gets a third of the processor weight of serving on the same cores.
NICENESS = 5
#: Makes the kernel kill this process first when memory runs out.
OUT_OF_MEMORY_SCORE = "900"

log = logging.getLogger(__name__)


def configure_logging() -> None:
    """Log to the standard error, one line per record, with UTC times."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")


def main(work: Callable[[Claim, Path, ChildEnd], None]) -> ExitStatus:
    """Run `work` for the job and fence on the command line.

    Returns the exit status; an error is also sent to the supervisor.
    """
    channel = ChildEnd()
    _lower_priority()
    configure_logging()
    try:
        job_id, fence = sys.argv[1], int(sys.argv[2])
        with reading() as session:
            claim = jobs.get_claim(session, job_id, fence)
        folder = run_folder(job_id, fence)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        work(claim, folder, channel)
    except Exception as error:
        status, payload = classify_error(error)
        log.info("ends with %s", status.name, exc_info=error if payload else None)
        if payload:
            channel.send_error(payload)
        return status
    return ExitStatus.DONE


def exit_now(status: ExitStatus) -> NoReturn:
    """Exit without cleaning up.

    Everything is written, and unloading torch would occupy the slot for a second.
    """
    logging.shutdown()
    os._exit(status)


def _lower_priority() -> None:
    """Let serving take precedence: lower the priority, and raise the out-of-memory score."""
    os.nice(NICENESS)
    # With sched_autogroup the kernel weighs sessions against each other, and niceness counts only within the session of
    # this run: the session needs a niceness, too.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))
    # A core dump would fill the disk that checkpoints need.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_SCORE)
