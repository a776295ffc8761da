"""Trace of a training: digests of its weights at some steps.

```
training.json   {"environment": {...}, "checkpoints": [{"epoch": 0, "step": 1, "tensors": {name: digest}}]}
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import Field, ValidationError

from ml.config import Config
from ml.errors import PackageError
from ml.package.manifest import HINT

if TYPE_CHECKING:
    from collections.abc import Mapping

#: File of the trace in a package.
TRACE: Final = "training.json"
#: Names of the parts of an environment, the likeliest to change weights first.
REASONS: Final[Mapping[str, str]] = {
    "dataset": "other data",
    "device": "another device",
    "precision": "another precision",
    "threads": "another number of threads",
    "processor": "another processor",
    "torch": "another version of torch",
    "plinth": "another version of Plinth",
    "python": "another version of Python",
}


class Environment(Config):
    """Conditions on which the bits of a training depend."""

    dataset: str = Field(description="Digest of the rows.")
    device: str
    precision: str
    threads: int
    processor: str
    torch: str
    plinth: str
    python: str


class TracedStep(Config):
    """Digests of the trained tensors after a step; step 0 is before the first."""

    epoch: int
    step: int
    tensors: dict[str, str]


class TrainingTrace(Config):
    """Content of `training.json`."""

    environment: Environment
    checkpoints: list[TracedStep]


class TraceDifference(NamedTuple):
    """First checkpoint and tensor in which two runs differ."""

    epoch: int
    step: int
    tensor: str


def parse_trace(content: bytes) -> TrainingTrace:
    """Parse the content of `training.json`; raises `PackageError`."""
    try:
        return TrainingTrace.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise PackageError(f"{TRACE} is invalid: {place}: {first['msg']}", hint=HINT) from error


def find_difference(original: TrainingTrace, repeated: TrainingTrace) -> TraceDifference | None:
    """Return the first difference of two traces; None if they are equal."""
    steps = {traced.step: traced for traced in repeated.checkpoints}
    for traced in original.checkpoints:
        twin = steps.get(traced.step)
        if twin is None:
            return TraceDifference(traced.epoch, traced.step, "the step itself, which the repeated run does not have")
        names = [*traced.tensors, *(name for name in twin.tensors if name not in traced.tensors)]
        for name in names:
            if traced.tensors.get(name) != twin.tensors.get(name):
                return TraceDifference(traced.epoch, traced.step, name)
    return None


def explain(original: Environment, repeated: Environment) -> list[str]:
    """Return in words what differs between two environments, the likeliest reason first."""
    pairs = ((name, reason, getattr(original, name), getattr(repeated, name)) for name, reason in REASONS.items())
    return [
        reason if name == "dataset" else f"{reason}: {before}, now {after}"
        for name, reason, before, after in pairs
        if before != after
    ]
