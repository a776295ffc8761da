"""How a recording is cut up into moments and bands."""

from __future__ import annotations

from pydantic import Field, model_validator

from ml.audio.spectrum import Framing
from ml.config import Config


class SpectrumConfig(Config):
    """How time and frequency are cut up."""

    rate_hz: int = Field(ge=4_000, le=192_000)
    window: int = Field(ge=16, le=16_384)
    """Samples under one Hann window."""
    hop: int = Field(ge=4, le=16_384)
    """Samples from one frame to the next."""
    bands: int = Field(ge=4, le=512)

    @model_validator(mode="after")
    def _windows_overlap(self) -> SpectrumConfig:
        if self.hop > self.window:
            raise ValueError("hop must be at most window, or samples between the frames go unread")
        return self

    @property
    def framing(self) -> Framing:
        """As it is computed with."""
        return Framing(self.rate_hz, self.window, self.hop, self.bands)
