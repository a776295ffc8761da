"""Recordings of any rate and length become frames: how loud each band is, a hundred times a second.

N rows, B batch, T frames, F bands, T' frames after neighbours were stacked.
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
from ml.audio.waveform import Audio
from ml.encoders.base import Column, Encoder
from ml.signals import Signal

FASTEST_HZ: Final = 16_000
"""Speech has little above 8 kHz that tells words apart, so no more is kept unless asked."""
WINDOW_SECONDS: Final = 0.025
HOP_SECONDS: Final = 0.01
"""Speech stands still for so long; the usual pair since Davis & Mermelstein 1980."""
BANDS: Final = 40
LOOKED_AT: Final = 1000
"""So many recordings, evenly spread, decide on rate and normalisation."""
LEAST_DEVIATION: Final = 1e-3
"""Of a band that is always equal, as in silence."""


class LogMelConfig(SpectrumConfig):
    """The one form that every recording is brought to. `stacked` frames are read as one, each `stride` frames."""

    stacked: int = Field(3, ge=1, le=64)
    stride: int = Field(2, ge=1, le=64)
    """Fewer, wider frames: a recurrent network is quicker over them and CTC has less to skip (Sak et al. 2015)."""
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    """Of each band, over the training rows."""

    @model_validator(mode="after")
    def _nothing_is_skipped(self) -> LogMelConfig:
        if self.stride > self.stacked:
            raise ValueError("stride must be at most stacked, or frames in between go unread")
        if not len(self.mean) == len(self.deviation) == self.bands:
            raise ValueError("mean and deviation have one number for each band")
        return self


class LogMelEncoder(Encoder[Audio]):
    """Raw value: a recording. Resampled, cut into bands, each normalised by what training rows had in it."""

    name = "log_mel"
    signal = Signal.FRAMES
    config_type = LogMelConfig

    @classmethod
    def learn(cls, values: Sequence[Audio], asked: Mapping[str, Any]) -> Self:
        """The commonest rate, up to 16 kHz; mean and spread of each band."""
        looked_at = [values[index] for index in range(0, len(values), -(-len(values) // LOOKED_AT) or 1)]
        rate_hz = asked.get("rate_hz") or min(FASTEST_HZ, mode(value.rate_hz for value in looked_at))
        usual = {
            "rate_hz": rate_hz,
            "window": round(WINDOW_SECONDS * rate_hz),
            "hop": round(HOP_SECONDS * rate_hz),
            "bands": BANDS,
        }
        chosen = {**usual, **asked}
        spectrum = SpectrumConfig.model_validate({name: chosen[name] for name in usual})
        frames = np.concatenate([spectrum_of(value, spectrum.framing) for value in looked_at]).astype(np.float64)
        deviation = np.maximum(frames.std(axis=0), LEAST_DEVIATION)
        learned = {"mean": _rounded(frames.mean(axis=0)), "deviation": _rounded(deviation)}
        return cls(LogMelConfig.model_validate({**learned, **chosen}))

    def encode(self, values: Sequence[Audio]) -> list[np.ndarray]:
        """Float16 [T, F] each, normalised; half the memory, and finer than any microphone."""
        mean, deviation = self._normalisation()
        return [((spectrum_of(value, self.config.framing) - mean) / deviation).astype(np.float16) for value in values]

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: float32 [B, T', F * stacked], zero where padded; `mask`: bool [B, T']."""
        stacked = [self._stacked(np.asarray(frames, dtype=np.float32)) for frames in column]
        lengths = np.array([len(frames) for frames in stacked])
        signal = np.zeros((len(stacked), lengths.max(), self.shape()["bins"]), dtype=np.float32)
        for row, frames in enumerate(stacked):
            signal[row, : len(frames)] = frames
        return {"signal": signal, "mask": np.arange(lengths.max()) < lengths[:, None]}

    def shape(self) -> dict[str, int]:
        """How many numbers a frame has."""
        return {"bins": self.config.bands * self.config.stacked}

    def length(self, frames: int) -> int:
        """T' of T."""
        stride: int = self.config.stride
        return -(-frames // stride)

    def _stacked(self, frames_TF: np.ndarray) -> np.ndarray:
        """Each `stride`-th frame with those around it, the first and last repeated at the ends."""
        config = self.config
        before = (config.stacked - 1) // 2
        padded = np.pad(frames_TF, ((before, config.stacked), (0, 0)), mode="edge")
        starts = np.arange(self.length(len(frames_TF))) * config.stride
        return np.concatenate([padded[starts + offset] for offset in range(config.stacked)], axis=1)

    def _normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.config.mean, dtype=np.float32), np.array(self.config.deviation, dtype=np.float32)


def spectrum_of(value: Audio, config: Framing) -> np.ndarray:
    """float32 [T, F]: the logarithm of each band's power, at one rate and as if all had been recorded equally loud.

    How far away the microphone stood says nothing of what was said.
    """
    samples = resample(value.samples, value.rate_hz, config.rate_hz)
    peak = np.abs(samples).max(initial=0)
    return log_mel(samples / peak if peak > 0 else samples, config)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
