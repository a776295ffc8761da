"""What a recording sounds like, moment by moment: the power in bands that are as wide as the ear's.

N samples, T frames, S bins of the Fourier transform, F mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

QUIETEST: Final = 1e-8
"""Power below which all is silence, where a tone as loud as can be has 1. Its logarithm would be minus infinity."""
_FRAMES_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Framing:
    """How time and frequency are cut up; what may be asked for, `ml.audio.framing` says."""

    rate_hz: int
    window: int
    """Samples under one Hann window."""
    hop: int
    """Samples from one frame to the next."""
    bands: int

    @property
    def transform(self) -> int:
        """Points of the Fourier transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    def frames(self, samples: int) -> int:
        """T of so many samples."""
        return 1 + samples // self.hop


def log_mel(samples: np.ndarray, config: Framing) -> np.ndarray:
    """float32 [T, F]: natural logarithm of the power in each band, frames centred on multiples of the hop."""
    power_TS = np.abs(short_time_fourier(samples, config)) ** 2 / full_scale(config)
    return np.asarray(np.log(np.maximum(power_TS @ mel_bands(config).T, QUIETEST)), dtype=np.float32)


def short_time_fourier(samples: np.ndarray, config: Framing) -> np.ndarray:
    """complex64 [T, S], silence assumed before and after."""
    half = config.window // 2
    padded = np.pad(samples, (half, config.window - half))
    windows = np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop]
    windows = windows[: config.frames(len(samples))]
    shape = hann(config.window)
    pieces = [
        np.fft.rfft(windows[start : start + _FRAMES_AT_ONCE] * shape, config.transform).astype(np.complex64)
        for start in range(0, len(windows), _FRAMES_AT_ONCE)
    ]
    return np.concatenate(pieces)


@lru_cache(maxsize=8)
def hann(length: int) -> np.ndarray:
    """float32 [length], periodic."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length), dtype=np.float32)


def full_scale(config: Framing) -> float:
    """Power of the bin that a tone of amplitude 1 falls on."""
    return float(hann(config.window).sum() / 2) ** 2


@lru_cache(maxsize=8)
def mel_bands(config: Framing) -> np.ndarray:
    """float32 [F, S]: triangles evenly spread over mel (O'Shaughnessy 1987), each weighing its bins to a sum of 1.

    A band narrower than a bin, as the lowest may be, would hear nothing; it takes the nearest bin.
    """
    bins_hz = np.arange(config.transform // 2 + 1) * config.rate_hz / config.transform
    edges_mel = np.linspace(0, _mel(config.rate_hz / 2), config.bands + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    weights = np.minimum(rising, falling).clip(0)
    deaf = np.flatnonzero(weights.sum(axis=1) == 0)
    weights[deaf, np.abs(bins_hz - middle[deaf]).argmin(axis=1)] = 1
    # The power of white noise, then, is the same in every band.
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
