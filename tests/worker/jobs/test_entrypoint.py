"""The start of a child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker.jobs.entrypoint import NICENESS

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no sched_autogroup")
def test_a_run_lowers_the_priority_of_its_process_and_session() -> None:
    statements = (
        f"from worker.jobs.entrypoint import _lower_priority; _lower_priority(); print(open('{AUTOGROUP}').read())"
    )
    code = f"import os; {statements}; print(os.nice(0))"
    result = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert f"nice {NICENESS}" in result.stdout
    assert int(result.stdout.split()[-1]) >= NICENESS
