"""Mel spectrogram encoder: audio as target of speech synthesis, and back to audio.

N rows, B batch, T frames, F bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mode
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from ml.audio.framing import SpectrumConfig
from ml.audio.resampling import resample
from ml.audio.spectrum import Framing, log_mel
from ml.audio.vocoder import PEAK_AMPLITUDE, griffin_lim
from ml.audio.waveform import Audio
from ml.encoders.base import Column, Encoder
from ml.preprocessing.log_mel_frames import normalize_bands, pad_frames
from ml.signals import Signal

#: Default limit of the sample rate, at which most voices are published; more bands cost time for little gain.
MAX_DEFAULT_RATE_HZ: Final = 22_050
#: As in Tacotron (Wang et al. 2017, arXiv:1703.10135, table 1): an overlap of 3/4 allows phase reconstruction.
WINDOW_SECONDS: Final = 0.05
HOP_SECONDS: Final = 0.0125
BANDS: Final = 80
#: A low rate needs fewer bands: 64 at 8 kHz.
HZ_PER_BAND: Final = 125
#: Power of silence relative to the loudest frame. A faint s may lose its end; but at -45 dB much of the silence was
#: left, and more words of fsdd were misrecognized.
SILENCE: Final = 10 ** (-40 / 10)
#: Audio clips, evenly spaced, from which `learn` takes sample rate and normalization.
INSPECTED_CLIPS: Final = 1000
MIN_DEVIATION: Final = 1e-3


class MelSpectrogramConfig(SpectrumConfig):
    """Spectrogram and normalization of the encoded audio."""

    mean: tuple[float, ...] = Field(description="Mean of each band over the training rows.")
    deviation: tuple[float, ...] = Field(description="Standard deviation of each band over the training rows.")

    @model_validator(mode="after")
    def _has_one_number_for_each_band(self) -> MelSpectrogramConfig:
        if not len(self.mean) == len(self.deviation) == self.bands:
            raise ValueError("mean and deviation must have one number for each band")
        return self


class MelSpectrogramEncoder(Encoder[Audio]):
    """Encodes audio at one rate and peak level, and decodes it.

    The silence at both ends is removed. It says nothing about how characters sound, and with it the first and last
    characters would learn to sound like silence.
    """

    name = "mel_spectrogram"
    signal = Signal.FRAMES
    config_type = MelSpectrogramConfig

    @classmethod
    def learn(cls, values: Sequence[Audio], options: Mapping[str, Any]) -> Self:
        """The commonest rate, up to 22,050 Hz; mean and spread of each band."""
        sample = [values[index] for index in range(0, len(values), -(-len(values) // INSPECTED_CLIPS) or 1)]
        rate_hz = options.get("rate_hz") or min(MAX_DEFAULT_RATE_HZ, mode(value.rate_hz for value in sample))
        hop = round(HOP_SECONDS * rate_hz)
        defaults = {"rate_hz": rate_hz, "window": 4 * hop, "hop": hop, "bands": min(BANDS, rate_hz // HZ_PER_BAND)}
        config = {**defaults, **options}
        spectrum = SpectrumConfig.model_validate({name: config[name] for name in defaults})
        frames = np.concatenate([_trimmed_log_mel(value, spectrum.framing) for value in sample]).astype(np.float64)
        learned = {
            "mean": [round(float(value), 4) for value in frames.mean(axis=0)],
            "deviation": [round(float(value), 4) for value in np.maximum(frames.std(axis=0), MIN_DEVIATION)],
        }
        return cls(MelSpectrogramConfig.model_validate({**learned, **config}))

    def encode(self, values: Sequence[Audio]) -> list[np.ndarray]:
        """Encode each clip to normalized float16 [T, F]; T is at least 1."""
        mean, deviation = self.config.mean, self.config.deviation
        spectrograms = (_trimmed_log_mel(value, self.config.framing) for value in values)
        return [normalize_bands(log_mel_TF, mean=mean, deviation=deviation) for log_mel_TF in spectrograms]

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: float32 [B, T, F], zero where padded; `mask`: bool [B, T]."""
        return pad_frames(column)

    def shape(self) -> dict[str, int]:
        """Return the numbers of a frame as `bins`."""
        return {"bins": self.config.bands}

    def to_audio(self, frames_TF: np.ndarray) -> Audio:
        """Reconstruct audio from normalized frames."""
        mean, deviation = self._normalization()
        return Audio(
            griffin_lim(frames_TF.astype(np.float32) * deviation + mean, self.config.framing), self.config.rate_hz
        )

    def decibels(self, difference_TF: np.ndarray) -> np.ndarray:
        """Convert a difference of normalized frames to decibels of power."""
        return np.asarray(difference_TF * self._normalization()[1] * (10 / np.log(10)))

    def _normalization(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.config.mean, dtype=np.float32), np.array(self.config.deviation, dtype=np.float32)


def _trimmed_log_mel(value: Audio, config: Framing) -> np.ndarray:
    """Return the log-mel spectrogram, float32 [T, F], without the silence at both ends."""
    samples = resample(value.samples, value.rate_hz, config.rate_hz)
    peak = np.abs(samples).max(initial=0)
    log_mel_TF = log_mel(samples * np.float32(PEAK_AMPLITUDE / peak) if peak > 0 else samples, config)
    power_T = np.exp(log_mel_TF).mean(axis=1)
    (loud,) = np.nonzero(power_T >= power_T.max() * SILENCE)
    # One more frame at each end, where the sound rises and falls.
    return log_mel_TF[max(0, loud[0] - 1) : loud[-1] + 2]
