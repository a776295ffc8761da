import os

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


def test_half_of_the_cores_are_left_to_other_processes() -> None:
    assert 1 <= devices.default_threads() <= max(1, (os.cpu_count() or 1) // 2)


def test_a_device_is_described_with_its_reason() -> None:
    facts = devices.describe(devices.choose("cpu"), threads=3)
    assert (facts["device"], facts["why"], facts["threads"]) == ("cpu", devices.choose("cpu").why, 3)
