"""Recordings: bytes of any usual make to one channel of float32, and back. Import and `/predict` share it.

How each make is read: whole numbers of any width become -1..1; several channels are averaged into one; the rate stays
what it is (an encoder resamples to the one it was trained at); floats beyond -1..1 are scaled down.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.audio.waveform import Audio
from ml.errors import InputError

MAX_SECONDS: Final = 300.0
SLOWEST_HZ: Final = 4_000
FASTEST_HZ: Final = 192_000
"""Rates that recordings of speech and music have; below and above, a header is damaged or a file is no recording."""
MAX_VALUES: Final = 60_000_000
"""Samples times channels, of one recording, however it is described."""
ENDLESS: Final = 2**62
"""Samples that libsndfile says of a stream, which has no length; it says one beyond all others."""
SILENT: Final = 1e-4
"""A peak of -80 dB: below the noise of any microphone."""
CLIPPED: Final = 0.01
"""Share of samples at full scale from which on a recording is called clipped."""

_MAKES: Final = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"})
SUFFIXES: Final = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"})
_READABLE: Final = "WAV, FLAC, OGG, MP3 or AIFF"


class UnreadableAudio(InputError):
    """A recording that cannot be used. `problem` is the code an import reports it under."""

    def __init__(self, problem: str, message: str, *, hint: str, expected: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds, and by code what had to be changed to get it and what is odd about it."""

    audio: Audio
    repairs: tuple[str, ...]
    warnings: tuple[str, ...]


def decode(data: bytes, *, max_seconds: float = MAX_SECONDS) -> Audio:
    """The recording in a file; raises `UnreadableAudio`, an `InputError`."""
    return read(data, max_seconds=max_seconds).audio


def encode_wav(audio: Audio) -> bytes:
    """WAV of 16-bit whole numbers, which everything plays."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(audio.rate_hz)
        writer.writeframes(np.rint(audio.samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def looks_like_audio(start: bytes) -> bool:
    """Whether the first bytes (12 suffice) are those of a recording that `decode` knows."""
    return (
        (start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE")
        or (start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"))
        or start.startswith((b"fLaC", b"OggS", b"ID3"))
        or (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2)  # MPEG audio, layer 3
    )


def read(data: bytes, *, max_seconds: float = MAX_SECONDS) -> Recording:
    """Like `decode`, and says what was changed. The header is judged before a sample is unpacked."""
    # Loads a shared library, which a process that only looks at names or texts need not.
    import soundfile

    if not looks_like_audio(data[:12]):
        raise UnreadableAudio(
            "audio_unknown_format", "these bytes are not a recording", hint=f"send {_READABLE}, as a whole file"
        )
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _judge_header(file.format, file.samplerate, file.channels, file.frames, max_seconds)
            # A header may say less than there is (a stream has no length), so the limit is kept while reading, too.
            most = min(int(max_seconds * file.samplerate), MAX_VALUES // file.channels)
            values = file.read(frames=min(file.frames, most + 1), dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError) as error:
        raise UnreadableAudio(
            "audio_corrupt", "the recording is damaged", hint="open it in a player and save it again"
        ) from error
    if len(values) > most:
        raise _too_long(len(values) / rate_hz, max_seconds)
    return _plain(values, rate_hz)


def seconds_of(data: bytes) -> float | None:
    """How long a recording is, by its header alone; None where that does not say, or there is none."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return file.frames / file.samplerate if 0 <= file.frames < ENDLESS else None
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError):
        return None


def _judge_header(make: str, rate_hz: int, channels: int, frames: int, max_seconds: float) -> None:
    if make not in _MAKES:
        hint = f"send {_READABLE}"
        raise UnreadableAudio("audio_unknown_format", f"recordings in {make} are not read", hint=hint)
    if not SLOWEST_HZ <= rate_hz <= FASTEST_HZ:
        expected = f"{SLOWEST_HZ:,} to {FASTEST_HZ:,} Hz"
        message = f"the recording has {rate_hz:,} samples a second; readable are {expected}"
        hint = "convert it to 16,000 Hz, or mend its header"
        raise UnreadableAudio("audio_rate", message, hint=hint, expected=expected)
    # Of a stream, reading finds the end.
    if frames * channels > MAX_VALUES and frames < ENDLESS:
        raise _too_long(frames / rate_hz, max_seconds)
    if max_seconds * rate_hz < frames < ENDLESS:
        raise _too_long(frames / rate_hz, max_seconds)


def _too_long(seconds: float, max_seconds: float) -> UnreadableAudio:
    message = f"a recording of {seconds:,.1f} s is over the limit of {max_seconds:,.0f} s"
    hint = "cut it where nobody speaks, into pieces of at most half a minute"
    return UnreadableAudio("audio_too_long", message, hint=hint, expected=f"at most {max_seconds:,.0f} s")


def _plain(values_NC: np.ndarray, rate_hz: int) -> Recording:
    """One channel in -1..1."""
    repairs, warnings = [], []
    if not len(values_NC):
        raise UnreadableAudio("audio_empty", "the recording has no samples", hint="record it again", expected="sound")
    if not np.isfinite(values_NC).all():
        message = "the recording has samples that are not a number (NaN or infinite)"
        raise UnreadableAudio("audio_not_finite", message, hint="export it again as 16-bit WAV or FLAC")
    samples = values_NC[:, 0]
    if values_NC.shape[1] > 1:
        repairs.append("audio_mixed_down")
        samples = values_NC.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(samples).max())
    if peak > 1:
        repairs.append("audio_too_loud")
        samples = samples / np.float32(peak)
    elif peak < SILENT:
        warnings.append("audio_silent")
    elif float((np.abs(samples) >= 0.999).mean()) > CLIPPED:
        warnings.append("audio_clipped")
    return Recording(Audio(np.ascontiguousarray(samples), rate_hz), tuple(repairs), tuple(warnings))
