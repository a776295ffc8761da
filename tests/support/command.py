"""Runs the `plinth` command as a user types it."""

import subprocess
import sys

from tests.support.stack import clean_environment

TIMEOUT_SECONDS = 120


def run_command(
    *arguments: str, environment: dict[str, str] | None = None, typed: str = "", columns: int = 80
) -> subprocess.CompletedProcess[str]:
    """Run `plinth` in a pipe, with `typed` on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "plinth", *arguments],
        capture_output=True,
        text=True,
        input=typed,
        timeout=TIMEOUT_SECONDS,
        env={**(environment or clean_environment()), "COLUMNS": str(columns), "OMP_NUM_THREADS": "1"},
        check=False,
    )
