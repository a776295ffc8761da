"""Comparison of a repeated training with the original, tensor by tensor."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from ml.learning.nn import device as devices
from ml.package.package import WEIGHTS
from ml.package.training_trace import TRACE, Environment, TrainingTrace, explain, find_difference, parse_trace
from plinth import __version__

if TYPE_CHECKING:
    from ml.package.package import ModelPackage

CPU_INFO = Path("/proc/cpuinfo")
EQUAL = "equal, bit for bit"


def current_environment(device: torch.device, *, dataset_digest: str) -> Environment:
    """Return the conditions on which the bits of a training in this process depend."""
    precision = devices.half_precision(device) or torch.float32
    return Environment(
        dataset=dataset_digest,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        precision=str(precision).removeprefix("torch."),
        threads=torch.get_num_threads(),
        processor=_processor_name(),
        torch=torch.__version__,
        plinth=__version__,
        python=platform.python_version(),
    )


def _processor_name() -> str:
    lines = CPU_INFO.read_text(errors="replace").splitlines() if CPU_INFO.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def compare(original: ModelPackage, repeated: ModelPackage) -> dict[str, Any]:
    """Return whether two trainings gave the same weights, as JSON.

    If they did not, it has the first difference and the likely reason.
    """
    differing = _differing_tensors(original, repeated)
    before, after = _read_trace(original), _read_trace(repeated)
    first = find_difference(before, after) if before and after else None
    reasons = explain(before.environment, after.environment) if before and after else []
    is_equal = first is None and not differing
    if is_equal:
        answer = EQUAL
    elif first is not None:
        place = f"epoch {first.epoch}, step {first.step}" if first.step else "the initial weights"
        answer = f"the first difference is at {place}, in {first.tensor}"
    else:
        answer = f"the final weights differ, first in {next(iter(differing))}"
    return {
        "equal": is_equal,
        "answer": answer,
        "first_difference": first._asdict() if first else None,
        "differing_tensors": differing,
        "likely_reason": None if is_equal else _likely_reason(reasons, has_trace=before is not None),
        "environment": {
            "original": before.environment.model_dump() if before else None,
            "now": after.environment.model_dump() if after else None,
        },
        "checkpoints": len(before.checkpoints) if before else 0,
    }


def _read_trace(package: ModelPackage) -> TrainingTrace | None:
    """Return the trace of a package; None for an older one."""
    has_trace = any(entry.path == TRACE for entry in package.manifest.files)
    return parse_trace(package.file(TRACE).read_bytes()) if has_trace else None


def _differing_tensors(original: ModelPackage, repeated: ModelPackage) -> dict[str, float | None]:
    """Return the final tensors that differ, with their largest difference.

    It is None for tensors of other shapes.
    """
    if original.entry(WEIGHTS).sha256 == repeated.entry(WEIGHTS).sha256:
        return {}
    before, after = load_file(original.file(WEIGHTS)), load_file(repeated.file(WEIGHTS))
    differing: dict[str, float | None] = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old is None or new is None or old.shape != new.shape:
            differing[name] = None
        elif not torch.equal(old, new):
            differing[name] = float((old.double() - new.double()).abs().max())
    return differing


def _likely_reason(reasons: list[str], *, has_trace: bool) -> str:
    if reasons:
        return "; ".join(reasons)
    if not has_trace:
        return "unknown: the model was made before environments were recorded"
    return "nothing that was recorded differs: the code was changed, or the device does not compute deterministically"
