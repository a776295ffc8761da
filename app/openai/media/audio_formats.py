"""Conversion of WAV files to the audio formats of the protocol."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from typing_extensions import TypeAliasType

if TYPE_CHECKING:
    from collections.abc import Mapping

SpeechFormat = TypeAliasType("SpeechFormat", Literal["mp3", "opus", "flac", "wav", "pcm"])

#: Sample rate of `pcm`, which has no header that could state another.
PCM_RATE_HZ: Final = 24_000
#: Sample rates of Opus.
_OPUS_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
#: Sample rates of MPEG audio, layer 3.
_MP3_RATES_HZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class _Encoding(NamedTuple):
    """Parameters by which libsndfile writes a format."""

    media_type: str
    container: str
    subtype: str
    #: Sample rates of the format; empty if it has any.
    rates_hz: tuple[int, ...] = ()


_ENCODINGS: Final[Mapping[str, _Encoding]] = {
    "mp3": _Encoding("audio/mpeg", "MP3", "MPEG_LAYER_III", _MP3_RATES_HZ),
    "opus": _Encoding("audio/ogg", "OGG", "OPUS", _OPUS_RATES_HZ),
    "flac": _Encoding("audio/flac", "FLAC", "PCM_16"),
    "wav": _Encoding("audio/wav", "WAV", "PCM_16"),
    "pcm": _Encoding("audio/pcm", "RAW", "PCM_16", (PCM_RATE_HZ,)),
}
#: Media types of answers.
MEDIA_TYPES: Final = tuple(encoding.media_type for encoding in _ENCODINGS.values())


def media_type_of(name: SpeechFormat) -> str:
    """Return the media type of a format."""
    return _ENCODINGS[name].media_type


def convert_wav(wav: bytes, name: SpeechFormat) -> bytes:
    """Return a WAV file of one channel in another format.

    It is resampled, upward if possible, where the format does not have its rate.
    """
    if name == "wav":
        return wav
    # Imported here: it loads a shared library, which a process without such requests does not need.
    import numpy as np
    import soundfile

    from ml.audio.resampling import resample

    encoding = _ENCODINGS[name]
    with wave.open(io.BytesIO(wav)) as reader:
        rate_hz = reader.getframerate()
        values = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
    new_rate_hz = _closest_rate(rate_hz, encoding.rates_hz)
    if new_rate_hz != rate_hz:
        samples = resample(values.astype(np.float32) / 32_768, rate_hz, new_rate_hz)
        values = np.rint(samples * 32_768).clip(-32_768, 32_767).astype("<i2")
    file = io.BytesIO()
    soundfile.write(file, values, new_rate_hz, format=encoding.container, subtype=encoding.subtype, endian="FILE")
    return file.getvalue()


def _closest_rate(rate_hz: int, rates_hz: tuple[int, ...]) -> int:
    """Return the lowest rate of a format that loses nothing, or its highest."""
    if not rates_hz or rate_hz in rates_hz:
        return rate_hz
    return min((rate for rate in rates_hz if rate > rate_hz), default=rates_hz[-1])
