"""The command that prints the device of runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from worker.jobs import device_probe
from worker.settings import WorkerSettings

THREADS = ("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS", "PLINTH_JOB_SLOTS")


#: Runs the command, and fails if torch is imported.
WITHOUT_TORCH = f"import sys; from {device_probe.__name__} import main; main(); sys.exit('torch' in sys.modules)"


def test_the_command_prints_device_and_reason_as_json() -> None:
    environment = {**os.environ, "PLINTH_DEVICE": "cpu", "PLINTH_TORCH_THREADS": "3"}
    command = [sys.executable, "-c", WITHOUT_TORCH]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    facts = json.loads(result.stdout)
    assert (facts["device"], facts["torch"], facts["threads"]) == ("cpu", torch.__version__, 3)
    assert facts["why"]
    assert facts["threads_why"] == "PLINTH_TORCH_THREADS"


def test_the_facts_are_those_that_torch_gives() -> None:
    settings = WorkerSettings(device="cpu")
    assert device_probe.describe_device(settings) == device_probe.describe_device(settings, with_torch=True)


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PLINTH_TORCH_THREADS": "3", "OMP_NUM_THREADS": "2"}, (3, "PLINTH_TORCH_THREADS")),
        ({"PLINTH_TORCH_THREADS": "auto", "OMP_NUM_THREADS": "2"}, (2, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "2"}, (2, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "4,2"}, (CORES, "/ 1 slot")),
        ({"OMP_NUM_THREADS": "0"}, (CORES, "/ 1 slot")),
        ({"PLINTH_JOB_SLOTS": "64"}, (max(1, CORES // 64), "/ 64 slots")),
        ({}, (CORES, "/ 1 slot")),
    ],
)
def test_threads_come_with_a_reason(
    variables: dict[str, str], expected: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    threads = WorkerSettings().choose_threads()
    assert threads.count == expected[0]
    assert expected[1] in threads.reason


@pytest.mark.parametrize("value", ["0", "-1", "half", "1.5"])
def test_a_number_of_threads_that_cannot_be_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_TORCH_THREADS", value)
    with pytest.raises(ValidationError, match="torch_threads"):
        WorkerSettings()
