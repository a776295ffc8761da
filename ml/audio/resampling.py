"""Another number of samples a second, without what the new rate cannot hold.

Smith 2002, "Digital Audio Resampling": each new sample is a sum of old ones, weighted by a sinc under a Kaiser window.
The ratio of two rates is up / down; new samples whose places differ by whole old samples share one row of weights.

N samples, K weights a sample.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np

ZERO_CROSSINGS: Final = 16
"""Of the sinc, to each side: the passband is flat to 1 % up to nine tenths of the lower rate's half."""
BETA: Final = 8.6
"""Of the Kaiser window: what aliases lies 80 dB below."""
ROLLOFF: Final = 0.945
"""Where the filter lets half through, as a share of the lower rate's half."""


def resample(samples: np.ndarray, rate_hz: int, new_rate_hz: int) -> np.ndarray:
    """float32 [N] at one rate as float32 [ceil(N new / old)] at another; the same array where they are equal."""
    if rate_hz == new_rate_hz or not len(samples):
        return samples
    common = gcd(rate_hz, new_rate_hz)
    up, down = new_rate_hz // common, rate_hz // common
    weights = _weights(up, down)
    width = weights.shape[1]
    length = ceil(len(samples) * up / down)
    reach = width // 2
    # Silence before and after, so that the first and the last samples have neighbours.
    padded = np.pad(samples, (reach - 1, reach + down + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    resampled = np.empty(length, dtype=np.float32)
    for phase in range(min(up, length)):
        places = resampled[phase::up]
        first = phase * down // up
        places[:] = windows[first::down][: len(places)] @ weights[phase]
    return resampled


@lru_cache(maxsize=8)
def _weights(up: int, down: int) -> np.ndarray:
    """float32 [up, K]: row p weighs the old samples around a new one that lies p * down / up % 1 behind an old one."""
    cutoff = ROLLOFF * min(1.0, up / down)
    reach = ceil(ZERO_CROSSINGS / cutoff)
    behind = (np.arange(up) * down % up / up)[:, None]
    distance = np.arange(1 - reach, reach + 1) - behind
    window = np.i0(BETA * np.sqrt((1 - (distance / reach) ** 2).clip(0))) / np.i0(BETA)
    weights = cutoff * np.sinc(cutoff * distance) * window
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
