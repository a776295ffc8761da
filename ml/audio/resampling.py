"""Band-limited resampling of audio (Smith 2002, "Digital Audio Resampling").

Each new sample is a sum of old ones, weighted by a sinc under a Kaiser window. The ratio of two rates is up / down; new
samples whose positions differ by whole old samples share one row of weights.

N samples, K weights a sample.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np

#: Zero crossings of the sinc on each side: the passband is flat to 1 % up to 0.9 times the lower Nyquist frequency.
ZERO_CROSSINGS: Final = 16
#: Beta of the Kaiser window: aliases are attenuated by 80 dB.
BETA: Final = 8.6
#: Frequency at which the filter passes half, as a fraction of the lower Nyquist frequency.
ROLLOFF: Final = 0.945


def resample(samples: np.ndarray, rate_hz: int, new_rate_hz: int) -> np.ndarray:
    """Resample float32 [N] to float32 [ceil(N * new_rate_hz / rate_hz)].

    Returns the same array if the rates are equal.
    """
    if rate_hz == new_rate_hz or not len(samples):
        return samples
    common = gcd(rate_hz, new_rate_hz)
    up, down = new_rate_hz // common, rate_hz // common
    weights = _weights(up, down)
    width = weights.shape[1]
    length = ceil(len(samples) * up / down)
    reach = width // 2
    # Zeros before and after, so that the first and the last samples have neighbors.
    padded = np.pad(samples, (reach - 1, reach + down + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    resampled = np.empty(length, dtype=np.float32)
    for phase in range(min(up, length)):
        outputs = resampled[phase::up]
        first = phase * down // up
        outputs[:] = windows[first::down][: len(outputs)] @ weights[phase]
    return resampled


@lru_cache(maxsize=8)
def _weights(up: int, down: int) -> np.ndarray:
    """Return the filter weights, float32 [up, K].

    Row p weighs the old samples around a new one that lies p * down / up % 1 after an old one.
    """
    cutoff = ROLLOFF * min(1.0, up / down)
    reach = ceil(ZERO_CROSSINGS / cutoff)
    behind = (np.arange(up) * down % up / up)[:, None]
    distance = np.arange(1 - reach, reach + 1) - behind
    window = np.i0(BETA * np.sqrt((1 - (distance / reach) ** 2).clip(0))) / np.i0(BETA)
    weights = cutoff * np.sinc(cutoff * distance) * window
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
