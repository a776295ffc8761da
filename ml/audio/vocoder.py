"""From the loudness of bands back to a wave: the phase, which bands do not tell, is found by going to and fro.

Griffin & Lim 1984, with the momentum of Perraudin, Balazs & Søndergaard 2013.

T frames, F mel bands, S bins of the Fourier transform, N samples.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.audio.spectrum import QUIETEST, full_scale, hann, mel_bands, short_time_fourier

if TYPE_CHECKING:
    from ml.audio.spectrum import Framing

ROUNDS: Final = 48
MOMENTUM: Final = 0.99
PEAK: Final = 10 ** (-1 / 20)
"""-1 dB of full scale: as loud as can be with room for what a player's own filters add."""
LOUDEST: Final = 3.0
"""Logarithm of a power that no recording has; a network that errs must not end in numbers too large to handle."""
FADE_SECONDS: Final = 0.005
"""So long the wave rises from and falls to nothing, or its ends would click."""
_UNFOLDINGS: Final = 40
_LEAST_POWER: Final = 1e-14


def speak(log_mel_TF: np.ndarray, config: Framing, *, rounds: int = ROUNDS) -> np.ndarray:
    """float32 [T hop], peak at -1 dB, of the logarithm of the power in each band."""
    power_TF = np.exp(log_mel_TF.astype(np.float64).clip(np.log(QUIETEST), LOUDEST))
    magnitude_TS = np.sqrt(unfold(power_TF, config) * full_scale(config))
    samples = _with_phase(magnitude_TS, config, rounds)
    samples = samples - samples.mean()
    fade = min(len(samples) // 2, round(FADE_SECONDS * config.rate_hz))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / max(1, fade))
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    peak = np.abs(samples).max(initial=0)
    return np.asarray(samples * (PEAK / peak) if peak > 0 else samples, dtype=np.float32)


def unfold(power_TF: np.ndarray, config: Framing) -> np.ndarray:
    """float64 [T, S], never negative: the power of bins whose bands come nearest to those given (Lee & Seung 2001)."""
    bands, inverse = mel_bands(config).astype(np.float64), _unfolding(config)
    power_TS = np.maximum(power_TF @ inverse, _LEAST_POWER)
    wanted = power_TF @ bands
    for _ in range(_UNFOLDINGS):
        # Held above the smallest numbers there are, with which processors are slow.
        power_TS = np.maximum(power_TS * wanted / np.maximum((power_TS @ bands.T) @ bands, 1e-30), _LEAST_POWER)
    return np.asarray(power_TS)


@lru_cache(maxsize=8)
def _unfolding(config: Framing) -> np.ndarray:
    return np.linalg.pinv(mel_bands(config).astype(np.float64)).T


def _with_phase(magnitude_TS: np.ndarray, config: Framing, rounds: int) -> np.ndarray:
    # Any start will do; this one is always the same, so that a text always sounds alike.
    angles = np.exp(2j * np.pi * np.random.default_rng(0).random(magnitude_TS.shape))
    last = np.zeros_like(angles)
    for _ in range(rounds):
        heard = short_time_fourier(_overlap_add(magnitude_TS * angles, config), config)[: len(angles)]
        heard = heard.astype(np.complex128)
        angles = heard + MOMENTUM * (heard - last)
        angles /= np.maximum(np.abs(angles), 1e-12)
        last = heard
    return _overlap_add(magnitude_TS * angles, config)


def _overlap_add(spectrum_TS: np.ndarray, config: Framing) -> np.ndarray:
    """float64 [T hop]: the wave whose transform is nearest (equation 6 of Griffin & Lim)."""
    window, hop, shape = config.window, config.hop, hann(config.window)
    pieces = np.fft.irfft(spectrum_TS, config.transform)[:, :window] * shape
    length = len(pieces) * hop + window
    samples, weight = np.zeros(length), np.zeros(length)
    for row, piece in enumerate(pieces):
        samples[row * hop : row * hop + window] += piece
        weight[row * hop : row * hop + window] += shape**2
    half = window // 2
    samples /= np.maximum(weight, 1e-3)
    return np.asarray(samples[half : half + len(pieces) * hop])
