"""Where a run computes, how fast it may, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from ml.errors import SpecError


@dataclass(frozen=True, slots=True)
class Device:
    """`name` is what torch calls it."""

    name: str
    why: str

    @property
    def torch(self) -> torch.device:
        """As tensors want it."""
        return torch.device(self.name)


def choose(asked: str = "auto") -> Device:
    """Take `cpu`, `cuda` or `cuda:N` as asked, or with `auto` the first GPU, if any; else raises `SpecError`."""
    if asked == "cpu":
        return Device("cpu", "asked for")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return Device("cuda:0", f"found {torch.cuda.get_device_name(0)}") if gpus else Device("cpu", _why_no_gpu())
    kind, _, number = asked.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise SpecError(f"there is no device {asked!r}", hint="Set PLINTH_DEVICE to auto, cpu, cuda or cuda:N.")
    if int(number or 0) >= gpus:
        raise SpecError(f"device {asked!r} is not there: {_why_no_gpu()}", hint="Set PLINTH_DEVICE=auto or cpu.")
    return Device(f"cuda:{number or 0}", "asked for")


def _why_no_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of PyTorch has no GPU support"
    count = torch.cuda.device_count()
    return f"PyTorch sees {count} GPU{'' if count == 1 else 's'}"


def default_threads() -> int:
    """Return half of the cores, at most the threads that torch starts with (OMP_NUM_THREADS).

    The other half serves and loads; two runs that both take every core slow each other down more than tenfold.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return max(1, min(cores // 2, torch.get_num_threads()))


def precision(device: torch.device) -> torch.dtype | None:
    """The half precision that is faster than float32 here, or None.

    Asked of the hardware and not of a stopwatch: two equal runs must choose alike. Processors with bfloat16
    instructions (AVX-512 or AMX) take 0.65 of float32's time for a small convolutional network; others emulate it.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    features = torch.cpu.get_capabilities()
    return torch.bfloat16 if features.get("amx_bf16") or features.get("avx512_bf16") else None


def describe(device: Device, *, threads: int) -> dict[str, str | int]:
    """Return facts about a device, for people: name, reason, torch version, precision and threads."""
    half = precision(device.torch)
    return {
        "device": device.name,
        "why": device.why,
        "torch": torch.__version__,
        "precision": str(half or torch.float32).removeprefix("torch."),
        "threads": threads,
    }
