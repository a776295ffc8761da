"""Cores, GPUs and instructions of this machine, without torch, whose import takes seconds."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
DEVICES: Final = Path("/dev")
#: Device files of GPUs: of NVIDIA, of AMD, and of both in Windows' subsystem for Linux.
GPU_FILES: Final = ("nvidia[0-9]*", "kfd", "dxg")
#: Flags of processors that compute in bfloat16; others emulate it.
BFLOAT16_FLAGS: Final = frozenset({"amx_bf16", "avx512_bf16"})


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Return False if there is certainly no GPU that torch could use.

    On other systems than Linux only torch can tell.
    """
    return sys.platform != "linux" or any(True for pattern in GPU_FILES for _ in DEVICES.glob(pattern))


@cache
def has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16, as the kernel says."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ())
    return not BFLOAT16_FLAGS.isdisjoint(flags)
