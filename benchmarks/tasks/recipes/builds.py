"""Processes that train with the code of a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.record import REPOSITORY
from benchmarks.tasks.recipes.results import BEFORE, NOW

SCRIPT: Final = Path(__file__).with_name("train_case.py")


class TrainingProcess:
    """Process that trains with the `ml` of one checkout.

    It answers all requests, as its imports take seconds.
    """

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.commit = _commit(checkout)
        self._process: subprocess.Popen[str] | None = None

    def train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of `train_case.py`; raises `OSError` if it has an error."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in answer:
            raise OSError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


@contextmanager
def training_processes(before: Path | None) -> Iterator[dict[str, TrainingProcess]]:
    """Yield the process of each build: this checkout, and the one before."""
    processes = {NOW: TrainingProcess(REPOSITORY)}
    if before is not None:
        processes[BEFORE] = TrainingProcess(before.resolve())
    try:
        yield processes
    finally:
        for process in processes.values():
            process.close()


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=7", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
