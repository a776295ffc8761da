"""Griffin-Lim vocoder: audio from a log-mel spectrogram.

Griffin & Lim 1984, with the momentum of Perraudin, Balazs & Søndergaard 2013 (fast Griffin-Lim).

T frames, F mel bands, S bins of the Fourier transform, N samples.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.audio.spectrum import MIN_POWER, full_scale_power, hann_window, mel_filterbank, stft

if TYPE_CHECKING:
    from ml.audio.spectrum import Framing

ROUNDS: Final = 48
MOMENTUM: Final = 0.99
#: -1 dB of full scale, which leaves headroom for the filters of a player.
PEAK_AMPLITUDE: Final = 10 ** (-1 / 20)
#: Upper limit of the logarithm of power, above that of any audio, so that a network's error cannot overflow.
MAX_LOG_POWER: Final = 3.0
#: Length of the fades at both ends, which prevent clicks.
FADE_SECONDS: Final = 0.005
_INVERSION_STEPS: Final = 40
_MIN_BIN_POWER: Final = 1e-14


def griffin_lim(log_mel_TF: np.ndarray, config: Framing, *, rounds: int = ROUNDS) -> np.ndarray:
    """Return samples for a log-mel spectrogram: float32 [T * hop], peak at -1 dB."""
    power_TF = np.exp(log_mel_TF.astype(np.float64).clip(np.log(MIN_POWER), MAX_LOG_POWER))
    magnitude_TS = np.sqrt(invert_mel(power_TF, config) * full_scale_power(config))
    samples = _reconstruct_phase(magnitude_TS, config, rounds)
    samples = samples - samples.mean()
    fade = min(len(samples) // 2, round(FADE_SECONDS * config.rate_hz))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / max(1, fade))
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    peak = np.abs(samples).max(initial=0)
    return np.asarray(samples * (PEAK_AMPLITUDE / peak) if peak > 0 else samples, dtype=np.float32)


def invert_mel(power_TF: np.ndarray, config: Framing) -> np.ndarray:
    """Return the power of each bin, float64 [T, S], for given mel bands.

    Non-negative matrix factorization with a fixed filter bank (Lee & Seung 2001).
    """
    bands, inverse = mel_filterbank(config).astype(np.float64), _pseudo_inverse(config)
    power_TS = np.maximum(power_TF @ inverse, _MIN_BIN_POWER)
    target = power_TF @ bands
    for _ in range(_INVERSION_STEPS):
        # The lower limit avoids denormal numbers, with which processors are slow.
        power_TS = np.maximum(power_TS * target / np.maximum((power_TS @ bands.T) @ bands, 1e-30), _MIN_BIN_POWER)
    return np.asarray(power_TS)


@lru_cache(maxsize=8)
def _pseudo_inverse(config: Framing) -> np.ndarray:
    return np.linalg.pinv(mel_filterbank(config).astype(np.float64)).T


def _reconstruct_phase(magnitude_TS: np.ndarray, config: Framing, rounds: int) -> np.ndarray:
    # Any phase works as a start; a fixed one makes the result reproducible.
    angles = np.exp(2j * np.pi * np.random.default_rng(0).random(magnitude_TS.shape))
    previous = np.zeros_like(angles)
    for _ in range(rounds):
        spectrum = stft(_overlap_add(magnitude_TS * angles, config), config)[: len(angles)]
        spectrum = spectrum.astype(np.complex128)
        angles = spectrum + MOMENTUM * (spectrum - previous)
        angles /= np.maximum(np.abs(angles), 1e-12)
        previous = spectrum
    return _overlap_add(magnitude_TS * angles, config)


def _overlap_add(spectrum_TS: np.ndarray, config: Framing) -> np.ndarray:
    """Return the signal, float64 [T * hop], whose transform is closest.

    Equation 6 of Griffin & Lim.
    """
    window, hop, shape = config.window, config.hop, hann_window(config.window)
    frames = np.fft.irfft(spectrum_TS, config.transform)[:, :window] * shape
    length = len(frames) * hop + window
    samples, weight = np.zeros(length), np.zeros(length)
    for row, frame in enumerate(frames):
        samples[row * hop : row * hop + window] += frame
        weight[row * hop : row * hop + window] += shape**2
    half = window // 2
    samples /= np.maximum(weight, 1e-3)
    return np.asarray(samples[half : half + len(frames) * hop])
