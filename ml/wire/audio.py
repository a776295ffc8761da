"""Audio as input of `/predict`."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from ml.audio.waveform import Audio
from ml.data.files import audio
from ml.wire.base import Base64, RawInput, decode_field


class AudioInput(RawInput):
    """One audio file (WAV, FLAC, OGG, MP3 or AIFF) as base64."""

    body = "audio"

    audio: Base64 = Field(description="Audio file as base64: WAV, FLAC, OGG, MP3 or AIFF, of any sample rate")

    def raw(self) -> Audio:
        """Decode to one channel at the sample rate of the file.

        Raises `InputError` if the file is not audio.
        """
        return decode_field(audio.decode, self.audio, field="audio")

    @classmethod
    def make_example(cls) -> Self:
        """A tone of 0.2 s that falls by an octave."""
        rate_hz, count = 8_000, 1_600
        hertz = 600 * 2 ** (-np.arange(count) / count)
        wave = np.sin(2 * np.pi * np.cumsum(hertz) / rate_hz) * np.hanning(count) * 0.5
        return cls(audio=audio.encode_wav(Audio(wave.astype(np.float32), rate_hz)))
