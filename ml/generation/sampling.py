"""Sampling of the next token from logits: temperature, top-k, top-p.

R rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Parameters of sampling."""

    #: Logits are divided by it; 0 selects the most probable token (greedy).
    temperature: float = 1.0
    #: Samples among this number of most probable tokens only (Fan et al. 2018, arXiv:1805.04833).
    top_k: int | None = None
    #: Samples among the fewest tokens with this total probability (nucleus; Holtzman et al. 2019, arXiv:1904.09751).
    top_p: float | None = None


def sample(
    logits: np.ndarray, samplings: Sequence[Sampling], random_states: Sequence[np.random.Generator]
) -> list[int]:
    """Sample one token for each row of float [R, V].

    It depends only on the logits of the row, its parameters and its random state. Rows share each operation, which for
    one row takes longer to call than to do.
    """
    temperatures = np.array([[sampling.temperature or 1.0] for sampling in samplings])
    cumulative = np.exp(_scale(logits, temperatures)).cumsum(axis=1)
    rows = zip(logits, cumulative, samplings, random_states, strict=True)
    return [_sample_row(*row) for row in rows]


def _sample_row(
    logits: np.ndarray, cumulative: np.ndarray, sampling: Sampling, random_state: np.random.Generator
) -> int:
    if sampling.temperature == 0:
        return int(logits.argmax())
    if sampling.top_k is None and sampling.top_p is None:
        return _draw(cumulative, random_state)
    tokens, probabilities = filter_tokens(logits, sampling)
    return int(tokens[_draw(probabilities.cumsum(), random_state)])


def _draw(cumulative: np.ndarray, random_state: np.random.Generator) -> int:
    """Return a position by the cumulative sums of weights."""
    position = cumulative.searchsorted(random_state.random() * cumulative[-1], side="right")
    return min(int(position), len(cumulative) - 1)


def _scale(logits: np.ndarray, temperatures: np.ndarray | float) -> np.ndarray:
    """Divide by the temperature what each logit lies below the largest, float64 [..., V]."""
    relative = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    # A temperature close to 0 makes all tokens but the most probable infinitely unlikely.
    with np.errstate(over="ignore"):
        scaled: np.ndarray = relative / temperatures
    return scaled


def filter_tokens(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens that may be sampled, int64 [n], and their probabilities.

    The probabilities, float64 [n], sum to 1.
    """
    scaled = _scale(logits, sampling.temperature)
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
