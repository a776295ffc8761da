"""A recording as it crosses the wire."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from ml.audio.waveform import Audio
from ml.data.files import audio
from ml.wire.base import Base64, RawInput, decoded


class AudioInput(RawInput):
    """One recording: a file (WAV, FLAC, OGG, MP3 or AIFF) as base64."""

    body = "audio"

    audio: Base64 = Field(description="A recording as base64: WAV, FLAC, OGG, MP3 or AIFF, of any rate")

    def raw(self) -> Audio:
        """One channel, at the rate it was recorded; raises `InputError` where the file is no recording."""
        return decoded(audio.decode, self.audio, field="audio")

    @classmethod
    def drawn(cls) -> Self:
        """A tone that falls by an octave within a fifth of a second."""
        rate_hz, count = 8_000, 1_600
        hertz = 600 * 2 ** (-np.arange(count) / count)
        wave = np.sin(2 * np.pi * np.cumsum(hertz) / rate_hz) * np.hanning(count) * 0.5
        return cls(audio=audio.encode_wav(Audio(wave.astype(np.float32), rate_hz)))
