import json
import os
import subprocess
import sys

import pytest
import torch

from ml.errors import SpecError
from ml.learning.nn import device as devices


def test_a_cpu_is_given_when_asked_for() -> None:
    assert devices.choose("cpu") == devices.Device("cpu", "asked for")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_auto_takes_the_cpu_and_says_why() -> None:
    found = devices.choose("auto")
    assert found.name == "cpu"
    assert "GPU" in found.why


@pytest.mark.parametrize("asked", ["cuda:99", "tpu", "cuda:x", ""])
def test_a_device_that_is_not_there_is_refused_with_what_to_do(asked: str) -> None:
    with pytest.raises(SpecError) as caught:
        devices.choose(asked)
    assert "PLINTH_DEVICE" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({"PLINTH_TORCH_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3), ({"OMP_NUM_THREADS": "2"}, 2)],
)
def test_threads_are_those_asked_for(variables: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert devices.threads() == expected


def test_half_of_the_cores_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLINTH_TORCH_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert 1 <= devices.threads() <= max(1, (os.cpu_count() or 1) // 2)


def test_the_command_tells_device_and_reason_as_json() -> None:
    environment = {**os.environ, "PLINTH_DEVICE": "cpu"}
    command = [sys.executable, "-m", "ml.learning.nn.device"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    facts = json.loads(done.stdout)
    assert (facts["device"], facts["why"], facts["torch"]) == ("cpu", "asked for", torch.__version__)
