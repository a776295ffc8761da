"""Which token comes next, by chance and by what was asked of it.

V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How freely tokens are chosen."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most probable token each time."""
    top_k: int | None = None
    """Only so many of the most probable tokens are drawn from (Fan et al. 2018, arXiv:1805.04833)."""
    top_p: float | None = None
    """Only the fewest tokens that together are so probable (nucleus; Holtzman et al. 2019, arXiv:1904.09751)."""


def choose(logits: np.ndarray, sampling: Sampling, chance: np.random.Generator) -> int:
    """One token of float [V]. The same logits and the same state of `chance` give the same token, in any batch."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    tokens, odds = allowed(logits, sampling)
    drawn = np.searchsorted(np.cumsum(odds), chance.random() * odds.sum(), side="right")
    return int(tokens[min(int(drawn), len(tokens) - 1)])


def allowed(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, int64 [n], and how probable each of them is, float64 [n], adding up to 1."""
    below = logits.astype(np.float64) - logits.max()
    # What is next to nought makes everything but the best infinitely worse.
    with np.errstate(over="ignore"):
        scaled = below / sampling.temperature
    tokens = np.arange(len(scaled))
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        # In the order of the vocabulary: a partition's own order is nobody's promise.
        tokens = np.sort(np.argpartition(-scaled, sampling.top_k - 1)[: sampling.top_k])
    odds = np.exp(scaled[tokens])
    odds /= odds.sum()
    if sampling.top_p is not None and sampling.top_p < 1:
        order = np.argsort(-odds, kind="stable")
        count = int(np.searchsorted(np.cumsum(odds[order]), sampling.top_p)) + 1
        chosen = order[:count]
        tokens, odds = tokens[chosen], odds[chosen] / odds[chosen].sum()
    return tokens, odds
