"""How a child ends: its exit status, and the words that reach the user."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from ml.errors import DataError, MLError, PackageError, SpecError, TrainingDiverged, TrainingInterrupted
from store.errors import StaleClaim, StorageFull

LONGEST_MESSAGE = 4_000
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_WORDS = ("no space left", "disk is full", "os error 28", "disk quota exceeded")
MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "unable to allocate")


class ExitStatus(IntEnum):
    """The child's exit status; any other, or a signal, is a crash. Numbers are those of sysexits.h where one fits."""

    DONE = 0
    CRASHED = 1
    FENCED = 3
    """The run is another's by now; nothing may be written."""
    BAD_DATA = 65
    """The data or the base model cannot be used: never tried again."""
    NO_SPACE = 74
    """A disk is full: tried again when there may be room."""
    LEFT = 75
    """Asked to leave; the last checkpoint holds everything."""
    BAD_SPEC = 78
    """What was asked for cannot work: never tried again."""


def classify_error(error: BaseException) -> tuple[ExitStatus, dict[str, Any] | None]:
    """The exit status for an error, and what the job's owner is told."""
    if isinstance(error, StaleClaim):
        return ExitStatus.FENCED, None
    if isinstance(error, TrainingInterrupted):
        return ExitStatus.LEFT, None
    if isinstance(error, DataError | PackageError):
        return ExitStatus.BAD_DATA, _of_ml(error)
    if isinstance(error, SpecError | TrainingDiverged):
        return ExitStatus.BAD_SPEC, _of_ml(error)
    if _is_full(error):
        return ExitStatus.NO_SPACE, error_payload(
            "storage_full",
            "there is no space left to write to",
            "Free disk space on the machine of the worker or of the blobs; the job then goes on by itself.",
        )
    if is_out_of_memory(error):
        return ExitStatus.CRASHED, error_payload(
            "out_of_memory",
            "the run needs more memory than there is",
            "Lower schedule.batch_size, or choose a smaller preset.",
        )
    return ExitStatus.CRASHED, error_payload(
        "internal_error", f"{type(error).__name__}: {error}", "The worker's log of this job holds the whole story."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Libraries hand the cause on as words only."""
    return any(
        isinstance(link, MemoryError) or any(sign in str(link).lower() for sign in MEMORY_WORDS)
        for link in _chain(error)
    )


def exit_description(status: int) -> dict[str, Any]:
    """What is known of a child that said nothing itself."""
    if status == -signal.SIGKILL:
        return error_payload(
            "killed",
            "the process of the run was killed",
            "When nobody did it by hand the machine ran out of memory: lower schedule.batch_size.",
        )
    if status < 0:
        return error_payload("crashed", f"the process of the run died by {signal.Signals(-status).name}", None)
    return error_payload("crashed", f"the process of the run ended with status {status}", None)


def error_payload(code: str, message: str, hint: str | None, *, user_fault: bool = False) -> dict[str, Any]:
    """A job's `error`."""
    return {"code": code, "message": message[:LONGEST_MESSAGE], "hint": hint, "user_fault": user_fault}


def _of_ml(error: MLError) -> dict[str, Any]:
    return error_payload(error.code, error.message, error.hint, user_fault=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    """Rust and C libraries hand the cause on as words only."""
    return any(
        isinstance(link, StorageFull)
        or (isinstance(link, OSError) and link.errno in FULL)
        or any(sign in str(link).lower() for sign in FULL_WORDS)
        for link in _chain(error)
    )
