"""The exit status of a child process, and the error that the job's owner reads."""

from __future__ import annotations

import errno
import signal
from enum import IntEnum
from typing import Any

from ml.errors import DataError, MLError, PackageError, RankEnded, SpecError, TrainingDiverged, TrainingInterrupted
from ml.out_of_memory import causes, is_out_of_memory
from store.errors import StaleClaim, StorageFull

MAX_MESSAGE_CHARACTERS = 4_000
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_PHRASES = ("no space left", "disk is full", "os error 28", "disk quota exceeded")


class ExitStatus(IntEnum):
    """Exit statuses of a child; any other, or a signal, is a crash.

    The numbers are those of sysexits.h where one fits.
    """

    DONE = 0
    CRASHED = 1
    #: Another worker holds the claim by now; nothing may be written.
    FENCED = 3
    #: The data or the base model cannot be used; never retried.
    BAD_DATA = 65
    #: A disk is full; retried later.
    NO_SPACE = 74
    #: Left on request; the last checkpoint has the complete state.
    LEFT = 75
    #: The spec cannot work; never retried.
    BAD_SPEC = 78


def classify_error(error: BaseException) -> tuple[ExitStatus, dict[str, Any] | None]:
    """Return the exit status for an error, and the job's error payload, if any."""
    if isinstance(error, StaleClaim):
        return ExitStatus.FENCED, None
    if isinstance(error, TrainingInterrupted):
        return ExitStatus.LEFT, None
    if isinstance(error, DataError | PackageError):
        return ExitStatus.BAD_DATA, _payload_of(error)
    if isinstance(error, SpecError | TrainingDiverged):
        return ExitStatus.BAD_SPEC, _payload_of(error)
    if isinstance(error, RankEnded):
        return ExitStatus.CRASHED, error_payload(error.code, error.message, error.hint)
    if _is_disk_full(error):
        return ExitStatus.NO_SPACE, error_payload(
            "storage_full",
            "the disk is full",
            "Free disk space on the machine of the worker or of the blobs; the job then resumes automatically.",
        )
    if is_out_of_memory(error):
        return ExitStatus.CRASHED, error_payload(
            "out_of_memory",
            "the run ran out of memory",
            "Lower schedule.batch_size, set schedule.accumulate, or choose a smaller preset.",
        )
    return ExitStatus.CRASHED, error_payload(
        "internal_error", f"{type(error).__name__}: {error}", "See the job log for the traceback."
    )


def exit_description(status: int) -> dict[str, Any]:
    """Return the error payload for a child that ended without reporting an error."""
    if status == -signal.SIGKILL:
        return error_payload(
            "killed",
            "the process of the run was killed",
            "Unless someone killed it by hand, the machine ran out of memory: lower schedule.batch_size.",
        )
    ending = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return error_payload("crashed", f"the process of the run {ending}", "See the job log for its last lines.")


def error_payload(code: str, message: str, hint: str | None, *, user_fault: bool = False) -> dict[str, Any]:
    """Return the field `error` of a job."""
    return {"code": code, "message": message[:MAX_MESSAGE_CHARACTERS], "hint": hint, "user_fault": user_fault}


def _payload_of(error: MLError) -> dict[str, Any]:
    return error_payload(error.code, error.message, error.hint, user_fault=True)


def _is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or a cause of it, is a full disk.

    Libraries often say so only in the message.
    """
    return any(
        isinstance(cause, StorageFull)
        or (isinstance(cause, OSError) and cause.errno in DISK_FULL_ERRNOS)
        or any(phrase in str(cause).lower() for phrase in DISK_FULL_PHRASES)
        for cause in causes(error)
    )
