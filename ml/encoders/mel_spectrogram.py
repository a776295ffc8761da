"""Recordings as what is to be heard, frame by frame, and back to a wave: the target of speech synthesis.

N rows, B batch, T frames, F bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mode
from typing import Any, Final, Self

import numpy as np
from pydantic import model_validator

from ml.audio.framing import SpectrumConfig
from ml.audio.resampling import resample
from ml.audio.spectrum import Framing, log_mel
from ml.audio.vocoder import PEAK_AMPLITUDE, griffin_lim
from ml.audio.waveform import Audio
from ml.encoders.base import Column, Encoder
from ml.signals import Signal

FASTEST_HZ: Final = 22_050
"""What most voices are published at; above, bands become many and cost time for little that is heard."""
WINDOW_SECONDS: Final = 0.05
HOP_SECONDS: Final = 0.0125
"""As in Tacotron (Wang et al. 2017, arXiv:1703.10135, table 1): three quarters overlap, so a phase can be found."""
BANDS: Final = 80
HZ_A_BAND: Final = 125
"""A low rate has less to tell and needs fewer bands: 64 at 8 kHz."""
SILENT: Final = 10 ** (-40 / 10)
"""Of the loudest frame's power: below it nothing is said yet, or any more. A faint s may lose its end; but at -45 dB
much of the waiting was left, and more words of fsdd were misheard."""
LOOKED_AT: Final = 1000
LEAST_DEVIATION: Final = 1e-3


class MelSpectrogramConfig(SpectrumConfig):
    """The form that every recording is brought to."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """Of each band, over the training rows."""

    @model_validator(mode="after")
    def _one_for_each_band(self) -> MelSpectrogramConfig:
        if not len(self.mean) == len(self.deviation) == self.bands:
            raise ValueError("mean and deviation have one number for each band")
        return self


class MelSpectrogramEncoder(Encoder[Audio]):
    """Raw value: a recording. Brought to one rate and one loudness, as it is played back at one loudness.

    The silence at both ends is cut off: how long a speaker waited says nothing of how letters sound, and where each
    letter has its frames, the first and the last would learn to sound like waiting.
    """

    name = "mel_spectrogram"
    signal = Signal.FRAMES
    config_type = MelSpectrogramConfig

    @classmethod
    def learn(cls, values: Sequence[Audio], asked: Mapping[str, Any]) -> Self:
        """The commonest rate, up to 22,050 Hz; mean and spread of each band."""
        looked_at = [values[index] for index in range(0, len(values), -(-len(values) // LOOKED_AT) or 1)]
        rate_hz = asked.get("rate_hz") or min(FASTEST_HZ, mode(value.rate_hz for value in looked_at))
        hop = round(HOP_SECONDS * rate_hz)
        usual = {"rate_hz": rate_hz, "window": 4 * hop, "hop": hop, "bands": min(BANDS, rate_hz // HZ_A_BAND)}
        chosen = {**usual, **asked}
        spectrum = SpectrumConfig.model_validate({name: chosen[name] for name in usual})
        frames = np.concatenate([_spectrum_of(value, spectrum.framing) for value in looked_at]).astype(np.float64)
        learned = {
            "mean": [round(float(each), 4) for each in frames.mean(axis=0)],
            "deviation": [round(float(each), 4) for each in np.maximum(frames.std(axis=0), LEAST_DEVIATION)],
        }
        return cls(MelSpectrogramConfig.model_validate({**learned, **chosen}))

    def encode(self, values: Sequence[Audio]) -> list[np.ndarray]:
        """Float16 [T, F] each, normalised; T is at least 1."""
        mean, deviation = self._normalisation()
        return [((_spectrum_of(value, self.config.framing) - mean) / deviation).astype(np.float16) for value in values]

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: float32 [B, T, F], zero where padded; `mask`: bool [B, T]."""
        lengths = np.array([len(frames) for frames in column])
        signal = np.zeros((len(column), lengths.max(), self.config.bands), dtype=np.float32)
        for row, frames in enumerate(column):
            signal[row, : len(frames)] = frames
        return {"signal": signal, "mask": np.arange(lengths.max()) < lengths[:, None]}

    def shape(self) -> dict[str, int]:
        """How many numbers a frame has."""
        return {"bins": self.config.bands}

    def sound(self, frames_TF: np.ndarray) -> Audio:
        """The wave of normalised frames."""
        mean, deviation = self._normalisation()
        return Audio(
            griffin_lim(frames_TF.astype(np.float32) * deviation + mean, self.config.framing), self.config.rate_hz
        )

    def decibels(self, difference_TF: np.ndarray) -> np.ndarray:
        """A difference of normalised frames, in decibels of power."""
        return np.asarray(difference_TF * self._normalisation()[1] * (10 / np.log(10)))

    def _normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.config.mean, dtype=np.float32), np.array(self.config.deviation, dtype=np.float32)


def _spectrum_of(value: Audio, config: Framing) -> np.ndarray:
    """float32 [T, F], from the first frame to the last in which something is heard."""
    samples = resample(value.samples, value.rate_hz, config.rate_hz)
    peak = np.abs(samples).max(initial=0)
    heard_TF = log_mel(samples * np.float32(PEAK_AMPLITUDE / peak) if peak > 0 else samples, config)
    power_T = np.exp(heard_TF).mean(axis=1)
    (loud,) = np.nonzero(power_T >= power_T.max() * SILENT)
    # One frame more at either end: there a sound begins, and ends.
    return heard_TF[max(0, loud[0] - 1) : loud[-1] + 2]
