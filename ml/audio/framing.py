"""Configuration of spectrograms: sample rate, window, hop, mel bands."""

from __future__ import annotations

from pydantic import Field, model_validator

from ml.audio.spectrum import Framing
from ml.config import Config


class SpectrumConfig(Config):
    """Resolution of a spectrogram in time and frequency."""

    rate_hz: int = Field(ge=4_000, le=192_000)
    window: int = Field(ge=16, le=16_384, description="Samples of one Hann window.")
    hop: int = Field(ge=4, le=16_384, description="Samples from one frame to the next.")
    bands: int = Field(ge=4, le=512)

    @model_validator(mode="after")
    def _windows_overlap(self) -> SpectrumConfig:
        if self.hop > self.window:
            raise ValueError(
                f"hop is {self.hop} and window {self.window}; hop must be at most window, or samples between "
                "frames are skipped"
            )
        return self

    @property
    def framing(self) -> Framing:
        """Return the same as plain data, for `ml.audio.spectrum`."""
        return Framing(self.rate_hz, self.window, self.hop, self.bands)
