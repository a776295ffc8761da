"""Sampling of the next token from logits: temperature, top-k, top-p.

V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Parameters of sampling."""

    #: Logits are divided by it; 0 selects the most probable token (greedy).
    temperature: float = 1.0
    #: Samples among this number of most probable tokens only (Fan et al. 2018, arXiv:1805.04833).
    top_k: int | None = None
    #: Samples among the fewest tokens with this total probability (nucleus; Holtzman et al. 2019, arXiv:1904.09751).
    top_p: float | None = None


def sample(logits: np.ndarray, sampling: Sampling, rng: np.random.Generator) -> int:
    """Sample one token from float [V].

    The result depends only on the logits and the state of `rng`.
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    tokens, probabilities = filter_tokens(logits, sampling)
    position = np.searchsorted(np.cumsum(probabilities), rng.random() * probabilities.sum(), side="right")
    return int(tokens[min(int(position), len(tokens) - 1)])


def filter_tokens(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens that may be sampled, int64 [n], and their probabilities.

    The probabilities, float64 [n], sum to 1.
    """
    relative = logits.astype(np.float64) - logits.max()
    # A temperature close to 0 makes all tokens but the most probable infinitely unlikely.
    with np.errstate(over="ignore"):
        scaled = relative / sampling.temperature
    tokens = np.arange(len(scaled))
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        # In the order of the vocabulary, as the order that a partition returns is undefined.
        tokens = np.sort(np.argpartition(-scaled, sampling.top_k - 1)[: sampling.top_k])
    probabilities = np.exp(scaled[tokens])
    probabilities /= probabilities.sum()
    if sampling.top_p is not None and sampling.top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        count = int(np.searchsorted(np.cumsum(probabilities[order]), sampling.top_p)) + 1
        nucleus = order[:count]
        tokens, probabilities = tokens[nucleus], probabilities[nucleus] / probabilities[nucleus].sum()
    return tokens, probabilities
