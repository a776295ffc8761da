"""Encoder of audio as a log mel spectrogram: a hundred frames a second.

N rows, B batch, T frames, F bands, T' frames after stacking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mode
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from ml.audio.framing import SpectrumConfig
from ml.audio.waveform import Audio
from ml.encoders.base import Column, Encoder
from ml.preprocessing.log_mel_frames import normalize_bands, pad_frames, peak_normalized_log_mel, stack_frames
from ml.signals import Signal

#: Default limit of the sample rate: speech has little above 8 kHz that distinguishes words.
MAX_DEFAULT_RATE_HZ: Final = 16_000
#: Window and hop over which speech is stationary, as used since Davis & Mermelstein 1980.
WINDOW_SECONDS: Final = 0.025
HOP_SECONDS: Final = 0.01
BANDS: Final = 40
#: Audio clips, evenly spaced, from which `learn` takes sample rate and normalization.
INSPECTED_CLIPS: Final = 1000
#: Minimum deviation of a band, for one that is constant, as in silence.
MIN_DEVIATION: Final = 1e-3


class LogMelConfig(SpectrumConfig):
    """Spectrogram, stacking and normalization of the encoded audio."""

    stacked: int = Field(3, ge=1, le=64, description="Frames concatenated into one wider frame (Sak et al. 2015).")
    stride: int = Field(2, ge=1, le=64, description="Frames from one stacked frame to the next.")
    mean: tuple[float, ...] = Field(description="Mean of each band over the training rows.")
    deviation: tuple[float, ...] = Field(description="Standard deviation of each band over the training rows.")
    normalize_clips: bool = Field(
        False,
        description="Subtract from each band its mean over the clip: the room, microphone and voice (Atal 1974). "
        "It removes what is constant in a clip, such as a hum.",
    )

    @model_validator(mode="after")
    def _skips_nothing(self) -> LogMelConfig:
        if self.stride > self.stacked:
            raise ValueError(
                f"stride is {self.stride} and stacked {self.stacked}; stride must be at most stacked, or "
                "frames are skipped"
            )
        if not len(self.mean) == len(self.deviation) == self.bands:
            raise ValueError("mean and deviation must have one number for each band")
        return self


class LogMelEncoder(Encoder[Audio]):
    """Encodes audio as log-mel bands, normalized over training rows or the clip."""

    name = "log_mel"
    signal = Signal.FRAMES
    config_type = LogMelConfig

    @classmethod
    def learn(cls, values: Sequence[Audio], options: Mapping[str, Any]) -> Self:
        """Take the most common rate, up to 16 kHz, and the statistics of each band."""
        sample = [values[index] for index in range(0, len(values), -(-len(values) // INSPECTED_CLIPS) or 1)]
        rate_hz = options.get("rate_hz") or min(MAX_DEFAULT_RATE_HZ, mode(value.rate_hz for value in sample))
        defaults = {
            "rate_hz": rate_hz,
            "window": round(WINDOW_SECONDS * rate_hz),
            "hop": round(HOP_SECONDS * rate_hz),
            "bands": BANDS,
        }
        config = {**defaults, **options}
        spectrum = SpectrumConfig.model_validate({name: config[name] for name in defaults})
        spectrograms = [peak_normalized_log_mel(value, spectrum.framing) for value in sample]
        frames = np.concatenate(spectrograms, dtype=np.float64)
        deviation = np.maximum(frames.std(axis=0), MIN_DEVIATION)
        learned = {"mean": _round(frames.mean(axis=0)), "deviation": _round(deviation)}
        return cls(LogMelConfig.model_validate({**learned, **config}))

    def encode(self, values: Sequence[Audio]) -> list[np.ndarray]:
        """Encode each clip to normalized float16 [T, F], which takes half the memory of float32."""
        config = self.config
        normalization = {"mean": config.mean, "deviation": config.deviation, "per_clip": config.normalize_clips}
        spectrograms = (peak_normalized_log_mel(value, config.framing) for value in values)
        return [normalize_bands(log_mel_TF, **normalization) for log_mel_TF in spectrograms]

    def collate(self, column: Column) -> dict[str, np.ndarray]:
        """`signal`: float32 [B, T', F * stacked], zero where padded; `mask`: bool [B, T']."""
        config = self.config
        return pad_frames([stack_frames(frames, stacked=config.stacked, stride=config.stride) for frames in column])

    def shape(self) -> dict[str, int]:
        """Return the numbers of a stacked frame as `bins`."""
        return {"bins": self.config.bands * self.config.stacked}

    def length(self, frames: int) -> int:
        """Return the number of stacked frames of `frames` frames."""
        stride: int = self.config.stride
        return -(-frames // stride)


def _round(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
