"""Device and half precision of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ml import hardware
from ml.errors import SpecError


@dataclass(frozen=True, slots=True)
class Device:
    """Device under the name that torch uses, with the reason why it was chosen."""

    name: str
    reason: str

    @property
    def torch(self) -> torch.device:
        """The device as a torch object."""
        return torch.device(self.name)


def choose(request: str = "auto") -> Device:
    """Choose `cpu`, `cuda`, `cuda:N` or `auto`.

    `auto` is the first GPU, or the CPU if there is none. Raises `SpecError` if there is no such device.
    """
    if request == "cpu":
        return Device("cpu", "requested")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if request == "auto":
        return Device("cuda:0", f"detected {torch.cuda.get_device_name(0)}") if gpus else Device("cpu", _explain_gpus())
    kind, _, number = request.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise SpecError(f"unknown device {request!r}", hint="Set PLINTH_DEVICE to auto, cpu, cuda or cuda:N.")
    if int(number or 0) >= gpus:
        message = f"device {request!r} is not available: {_explain_gpus()}"
        raise SpecError(message, hint="Set PLINTH_DEVICE=auto or cpu.")
    return Device(f"cuda:{number or 0}", "requested")


def choose_several(request: str, count: int | Literal["all"]) -> list[Device]:
    """Choose devices for the processes of one training.

    On a CPU each process uses cores of it, and `all` is one for each core. Raises `SpecError` if there are not enough.
    """
    first = choose(request)
    if first.name == "cpu":
        devices = [first] * hardware.count_cores()
        limit = f"{len(devices)} {'core' if len(devices) == 1 else 'cores'}"
    elif request == "auto":
        devices = [choose(f"cuda:{number}") for number in range(torch.cuda.device_count())]
        limit = _explain_gpus()
    else:
        devices, limit = [first], f"PLINTH_DEVICE is {request}"
    if count == "all":
        return devices
    if count > len(devices):
        message = f"a training on {count} devices cannot run here: {limit}"
        raise SpecError(message, hint="Lower devices, or leave it out.")
    return devices[:count]


def _explain_gpus() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of PyTorch has no GPU support"
    count = torch.cuda.device_count()
    return f"PyTorch detects {count} GPU{'' if count == 1 else 's'}"


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return the half precision that is faster than float32 on the device, or None.

    It depends on hardware features and not on a measurement: two equal runs must choose the same. On processors with
    bfloat16 instructions (AVX-512 or AMX) a small convolutional network takes 0.65 of its time in float32; others
    emulate them.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if hardware.has_bfloat16() else None


def describe(device: Device, *, threads: int) -> dict[str, str | int]:
    """Return facts about a device, for people: name, reason, torch version, precision and threads."""
    precision = half_precision(device.torch)
    return {
        "device": device.name,
        "why": device.reason,
        "torch": torch.__version__,
        "precision": str(precision or torch.float32).removeprefix("torch."),
        "threads": threads,
    }
