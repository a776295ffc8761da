import pytest
import torch

from ml.errors import SpecError
from ml.learning.nn import device as devices


def test_the_cpu_is_chosen_on_request() -> None:
    assert devices.choose("cpu") == devices.Device("cpu", "requested")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_auto_without_a_gpu_chooses_the_cpu_and_gives_the_reason() -> None:
    device = devices.choose("auto")
    assert device.name == "cpu"
    assert "GPU" in device.reason


@pytest.mark.parametrize("setting", ["cuda:99", "tpu", "cuda:x", ""])
def test_an_unavailable_device_is_refused_with_a_hint(setting: str) -> None:
    with pytest.raises(SpecError) as caught:
        devices.choose(setting)
    assert "PLINTH_DEVICE" in str(caught.value.hint)


def test_a_device_is_described_with_its_reason() -> None:
    facts = devices.describe(devices.choose("cpu"), threads=3)
    assert (facts["device"], facts["why"], facts["threads"]) == ("cpu", devices.choose("cpu").reason, 3)
