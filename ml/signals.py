"""Signals that backbones read, features that they provide, and slots that require them."""

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
    """Input of a backbone."""

    #: float32 [B, C, H, W], 0..1.
    IMAGE = "image"
    #: int64 [B, T].
    TOKENS = "tokens"
    #: float32 [B, T, F].
    FRAMES = "frames"
    #: float32 [B, 3 N + C]: N numbers, each normalized, as a quantile and marked if missing; then C category codes.
    RECORD = "record"

    @property
    def variable_axes(self) -> tuple[int, ...]:
        """Axes, besides that of the batch, whose length varies between batches."""
        return (1,) if self in (Signal.TOKENS, Signal.FRAMES) else ()


class Feature(StrEnum):
    """Output of a backbone, under the name by which a head reads it."""

    #: [B, D].
    POOLED = "pooled"
    #: [B, T, D].
    SEQUENCE = "sequence"
    #: [B, T, D], each position computed from itself and earlier ones only.
    CAUSAL = "causal"
    #: [B, C_i, H_i, W_i] each, finest first.
    MAPS = "maps"
    #: Mean and log-variance, [B, Z] each.
    LATENT = "latent"
    #: [B, A], pooled half-way through the backbone; in training only, so no slot can need it.
    AUXILIARY = "auxiliary"


@dataclass(frozen=True, slots=True)
class Slot:
    """Input of a task or an objective: signals it can provide and features it needs."""

    reads: frozenset[Signal]
    needs: frozenset[Feature]
    #: Architecture used when neither the spec nor a base model names one.
    default_architecture: str | None = None
    #: Preset of that architecture; None for the architecture's own default.
    default_preset: str | None = None

    def unmet(self, backbone: str, *, accepts: Iterable[str], provides: Iterable[str]) -> str | None:
        """Return why a backbone does not fit; None if it fits.

        The reason reads like "needs maps; vae gives pooled, latent".
        """
        if self.reads.isdisjoint(accepts):
            return f"reads {_join(Signal, self.reads)}; {backbone} reads {_join(Signal, accepts)}"
        if not self.needs.issubset(provides):
            return f"needs {_join(Feature, self.needs)}; {backbone} gives {_join(Feature, provides)}"
        return None


def _join(members: type[StrEnum], names: Iterable[str]) -> str:
    chosen = set(names)
    return ", ".join(member for member in members if member in chosen)
