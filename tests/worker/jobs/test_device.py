"""The command that prints the device of runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from worker.jobs import device
from worker.settings import WorkerSettings

THREADS = ("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS")


def test_the_command_prints_device_and_reason_as_json() -> None:
    environment = {**os.environ, "PLINTH_DEVICE": "cpu", "PLINTH_TORCH_THREADS": "3"}
    command = [sys.executable, "-m", device.__name__]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    facts = json.loads(result.stdout)
    assert (facts["device"], facts["torch"], facts["threads"]) == ("cpu", torch.__version__, 3)
    assert facts["why"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PLINTH_TORCH_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "4,2"}, None),
        ({"PLINTH_TORCH_THREADS": "0"}, None),
        ({}, None),
    ],
)
def test_threads_come_from_the_first_usable_variable(
    variables: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert WorkerSettings().torch_threads == expected
