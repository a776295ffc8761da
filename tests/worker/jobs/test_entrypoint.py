"""What a run does before it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker.jobs.entrypoint import NICENESS

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not weigh sessions")
def test_a_run_steps_back_in_its_session_and_with_it() -> None:
    said = f"from worker.jobs.entrypoint import _step_back; _step_back(); print(open('{AUTOGROUP}').read())"
    code = f"import os; {said}; print(os.nice(0))"
    ran = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert f"nice {NICENESS}" in ran.stdout
    assert int(ran.stdout.split()[-1]) >= NICENESS
