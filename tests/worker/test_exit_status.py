import errno
import os
import signal
from pathlib import Path

import pytest

from ml.errors import DataError, SpecError, TrainingDiverged, TrainingInterrupted
from store.errors import StaleClaim, StorageFull
from worker.exit_status import Exit, ending_of, words_about


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StaleClaim("job_1"), Exit.FENCED),
        (TrainingInterrupted("left"), Exit.LEFT),
        (DataError("no rows"), Exit.BAD_DATA),
        (SpecError("no such thing"), Exit.BAD_SPEC),
        (TrainingDiverged("the loss became nan"), Exit.BAD_SPEC),
        (StorageFull("full"), Exit.NO_SPACE),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), Exit.NO_SPACE),
        (RuntimeError("I/O error: No space left on device (os error 28)"), Exit.NO_SPACE),
        (MemoryError(), Exit.CRASHED),
        (KeyError("weight"), Exit.CRASHED),
    ],
)
def test_each_error_has_its_status(error, status):
    assert ending_of(error)[0] is status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_found_behind_the_error_of_a_library():
    try:
        try:
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"weights")
        except OSError as error:
            raise ValueError("the file was not saved") from error
    except ValueError as error:
        status, words = ending_of(error)
    assert status is Exit.NO_SPACE
    assert "space" in words["hint"]


def test_only_what_the_user_can_mend_is_the_users_fault():
    assert ending_of(DataError("no rows", hint="Upload more."))[1] == {
        "code": "invalid_data",
        "message": "no rows",
        "hint": "Upload more.",
        "user_fault": True,
    }
    assert not ending_of(RuntimeError("CUDA out of memory"))[1]["user_fault"]
    assert ending_of(RuntimeError("CUDA out of memory"))[1]["code"] == "out_of_memory"


def test_of_a_child_that_said_nothing_its_signal_is_told():
    assert words_about(-signal.SIGKILL)["code"] == "killed"
    assert "SIGSEGV" in words_about(-signal.SIGSEGV)["message"]
    assert "status 7" in words_about(7)["message"]
