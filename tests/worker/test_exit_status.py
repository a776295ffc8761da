"""Exit statuses and error payloads of child processes."""

import errno
import os
import signal
from pathlib import Path

import pytest

from ml.errors import DataError, SpecError, TrainingDiverged, TrainingInterrupted
from store.errors import StaleClaim, StorageFull
from worker.exit_status import ExitStatus, classify_error, exit_description


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StaleClaim("job_1"), ExitStatus.FENCED),
        (TrainingInterrupted("left"), ExitStatus.LEFT),
        (DataError("no rows"), ExitStatus.BAD_DATA),
        (SpecError("no such thing"), ExitStatus.BAD_SPEC),
        (TrainingDiverged("the loss became nan"), ExitStatus.BAD_SPEC),
        (StorageFull("full"), ExitStatus.NO_SPACE),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), ExitStatus.NO_SPACE),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ExitStatus.NO_SPACE),
        (MemoryError(), ExitStatus.CRASHED),
        (KeyError("weight"), ExitStatus.CRASHED),
    ],
)
def test_every_error_has_a_status(error, status):
    assert classify_error(error)[0] is status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_detected_behind_the_error_of_a_library():
    try:
        try:
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"weights")
        except OSError as error:
            raise ValueError("the file was not saved") from error
    except ValueError as error:
        status, payload = classify_error(error)
    assert status is ExitStatus.NO_SPACE
    assert "space" in payload["hint"]


def test_only_errors_that_the_user_can_fix_are_the_users_fault():
    assert classify_error(DataError("no rows", hint="Upload more."))[1] == {
        "code": "invalid_data",
        "message": "no rows",
        "hint": "Upload more.",
        "user_fault": True,
    }
    assert not classify_error(RuntimeError("CUDA out of memory"))[1]["user_fault"]
    assert classify_error(RuntimeError("CUDA out of memory"))[1]["code"] == "out_of_memory"


def test_a_child_without_an_error_is_described_by_its_signal_or_status():
    assert exit_description(-signal.SIGKILL)["code"] == "killed"
    assert "SIGSEGV" in exit_description(-signal.SIGSEGV)["message"]
    assert "status 7" in exit_description(7)["message"]
