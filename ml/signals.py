"""The vocabulary every part of `ml` shares: what a backbone reads, what it gives, and what a slot asks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

#: Named arrays that a network reads or returns: name -> [B, ...]. The signal of a slot has the name of the slot, its
#: mask `{slot}_mask`; targets have names of their own (`label`).
Arrays = dict[str, "np.ndarray"]

#: Runs one graph of a task: (name of the graph, arrays to read) -> all outputs, with PyTorch or ONNX Runtime.
Run = Callable[[str, Arrays], Arrays]


class Signal(StrEnum):
    """What a backbone reads."""

    IMAGE = "image"
    """float32 [B, C, H, W], 0..1."""
    TOKENS = "tokens"
    """int64 [B, T]."""
    FRAMES = "frames"
    """float32 [B, T, F]."""

    @property
    def variable_axes(self) -> tuple[int, ...]:
        """Beside the batch, the axes whose length differs from one batch to the next."""
        return () if self is Signal.IMAGE else (1,)


class Feature(StrEnum):
    """What a backbone gives; a network passes features on under these names."""

    POOLED = "pooled"
    """[B, D]."""
    SEQUENCE = "sequence"
    """[B, T, D]."""
    CAUSAL = "causal"
    """[B, T, D], blind to the future."""
    MAPS = "maps"
    """[B, C_i, H_i, W_i] each, finest first."""
    LATENT = "latent"
    """mean and log-variance, [B, Z] each."""
    AUXILIARY = "auxiliary"
    """[B, A], pooled half-way; only while training, so nothing can need it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One input of a task or an objective: the signals it can offer and the features it wants back."""

    reads: frozenset[Signal]
    needs: frozenset[Feature]
    default_architecture: str | None = None
    """The architecture that reads it where neither the user nor a base model says which."""
    default_preset: str | None = None
    """Its size; its own default where none is said."""

    def unmet(self, backbone: str, *, accepts: Iterable[str], provides: Iterable[str]) -> str | None:
        """Why a backbone does not fit, in words ("needs maps; vae gives pooled, latent"); None when it fits."""
        if self.reads.isdisjoint(accepts):
            return f"reads {_listed(Signal, self.reads)}; {backbone} reads {_listed(Signal, accepts)}"
        if not self.needs.issubset(provides):
            return f"needs {_listed(Feature, self.needs)}; {backbone} gives {_listed(Feature, provides)}"
        return None


def _listed(members: type[StrEnum], names: Iterable[str]) -> str:
    chosen = set(names)
    return ", ".join(member for member in members if member in chosen)
