"""The vocabulary every part of `ml` shares: what a backbone reads, what it gives, and what a slot asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Signal(StrEnum):
    """What a backbone reads."""

    IMAGE = "image"
    """float32 [B, C, H, W], 0..1."""
    TOKENS = "tokens"
    """int64 [B, T]."""
    FRAMES = "frames"
    """float32 [B, T, F]."""


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


@dataclass(frozen=True, slots=True)
class Slot:
    """One input of a task or an objective: the signals it can offer and the features it wants back."""

    reads: frozenset[Signal]
    needs: frozenset[Feature]

    def unmet(self, accepts: Iterable[str], provides: Iterable[str]) -> str | None:
        """Say why a backbone does not fit, in words for its user; None when it fits."""
        if self.reads.isdisjoint(Signal(name) for name in accepts):
            return f"reads {_listed(self.reads)}, not {_listed(accepts)}"
        if self.needs - {Feature(name) for name in provides}:
            return f"needs {_listed(self.needs)}; it gives {_listed(provides)}"
        return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(str(name) for name in names))
