"""Log-mel spectrograms of audio.

N samples, T frames, S bins of the Fourier transform, F mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

#: Power that counts as silence; a tone at full scale has 1. It keeps the logarithm finite.
MIN_POWER: Final = 1e-8
_FRAMES_PER_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class Framing:
    """Resolution in time and frequency; `ml.audio.framing` has the limits of each field."""

    rate_hz: int
    #: Samples of one Hann window.
    window: int
    #: Samples from one frame to the next.
    hop: int
    bands: int

    @property
    def transform(self) -> int:
        """Points of the Fourier transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    def frames(self, samples: int) -> int:
        """Return the number of frames of `samples` samples."""
        return 1 + samples // self.hop


def log_mel(samples: np.ndarray, config: Framing) -> np.ndarray:
    """Return the natural logarithm of the power in each mel band, float32 [T, F].

    Frames are centered on multiples of the hop.
    """
    power_TS = np.abs(stft(samples, config)) ** 2 / full_scale_power(config)
    return np.asarray(np.log(np.maximum(power_TS @ mel_filterbank(config).T, MIN_POWER)), dtype=np.float32)


def stft(samples: np.ndarray, config: Framing) -> np.ndarray:
    """Short-time Fourier transform, complex64 [T, S], with zeros before and after."""
    half = config.window // 2
    padded = np.pad(samples, (half, config.window - half))
    windows = np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop]
    windows = windows[: config.frames(len(samples))]
    window = hann_window(config.window)
    chunks = [
        np.fft.rfft(windows[start : start + _FRAMES_PER_CHUNK] * window, config.transform).astype(np.complex64)
        for start in range(0, len(windows), _FRAMES_PER_CHUNK)
    ]
    return np.concatenate(chunks)


@lru_cache(maxsize=8)
def hann_window(length: int) -> np.ndarray:
    """Periodic Hann window, float32 [length]."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length), dtype=np.float32)


def full_scale_power(config: Framing) -> float:
    """Power of the bin of a tone of amplitude 1."""
    return float(hann_window(config.window).sum() / 2) ** 2


@lru_cache(maxsize=8)
def mel_filterbank(config: Framing) -> np.ndarray:
    """Mel filter bank, float32 [F, S]: triangles evenly spaced in mel (O'Shaughnessy 1987).

    The weights of a band sum to 1. A band narrower than a bin, as the lowest may be, takes the nearest bin.
    """
    bins_hz = np.arange(config.transform // 2 + 1) * config.rate_hz / config.transform
    edges_mel = np.linspace(0, _mel(config.rate_hz / 2), config.bands + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    weights = np.minimum(rising, falling).clip(0)
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    weights[empty, np.abs(bins_hz - middle[empty]).argmin(axis=1)] = 1
    # So white noise has the same power in every band.
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))
