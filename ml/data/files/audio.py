"""Decodes audio files to one channel of float32, and encodes WAV.

Import and `/predict` share it. Conversions: integers of any width become -1..1; several channels are averaged into one;
the sample rate is unchanged (an encoder resamples to the rate it was trained at); float samples beyond -1..1 are scaled
down.
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
#: Sample rates of speech and music; outside of them a header is damaged, or the file contains no sound.
MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 192_000
#: Samples x channels of one audio clip, whatever its header says.
MAX_VALUES: Final = 60_000_000
#: libsndfile reports a larger number of frames for a stream, whose length is unknown.
UNKNOWN_FRAMES: Final = 2**62
#: Peak below which a clip is silent: -80 dB, less than the noise of any microphone.
SILENT_PEAK: Final = 1e-4
#: Fraction of samples at full scale above which a clip counts as clipped.
MAX_CLIPPED_FRACTION: Final = 0.01

#: A part that begins and ends this close to the ends of a file is the whole file: manifests round durations.
_ROUNDING_SECONDS: Final = 0.05
#: A part may end this much behind the end of a file.
_OVERHANG_SECONDS: Final = 0.5

_FORMATS: Final = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"})
SUFFIXES: Final = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"})
_FORMAT_NAMES: Final = "WAV, FLAC, OGG, MP3 or AIFF"


class UnreadableAudio(InputError):
    """Audio clip that cannot be decoded; `issue` is its code in an import."""

    def __init__(self, issue: str, message: str, *, hint: str, expected: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.issue = issue
        self.expected = expected


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """One audio clip, and the issue codes of the repairs and warnings."""

    audio: Audio
    repairs: tuple[str, ...]
    warnings: tuple[str, ...]


def decode(data: bytes, *, max_seconds: float = MAX_SECONDS) -> Audio:
    """Decode an audio file; raises `UnreadableAudio`, an `InputError`."""
    return read(data, max_seconds=max_seconds).audio


def encode_wav(audio: Audio) -> bytes:
    """Encode as 16-bit WAV, which every player supports."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(audio.rate_hz)
        writer.writeframes(np.rint(audio.samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def cut(data: bytes, *, offset: float, duration: float | None) -> bytes:
    """Return a part of an audio file as WAV.

    `offset` and `duration` are seconds; None is up to the end. Only the part is decoded. The file is returned unchanged
    if the part is all of it. Raises `UnreadableAudio`.
    """
    import soundfile

    seconds = read_seconds(data) if looks_like_audio(data[:12]) else None
    if seconds is None:
        return data  # whatever is wrong with it is reported where whole files are read
    end = seconds if duration is None else offset + duration
    if offset >= seconds or end > seconds + _OVERHANG_SECONDS:
        message = f"the part from {offset:g} to {end:g} s is outside of the file of {seconds:g} s"
        hint = "Name the part in seconds: offset and duration within the file."
        raise UnreadableAudio("segment_outside_file", message, hint=hint, expected=f"within 0 to {seconds:g} s")
    if offset <= _ROUNDING_SECONDS and end >= seconds - _ROUNDING_SECONDS:
        return data
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            file.seek(min(round(offset * file.samplerate), file.frames))
            frames = min(round((end - offset) * file.samplerate), MAX_VALUES // file.channels)
            values = file.read(frames=frames, dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError) as error:
        raise UnreadableAudio(
            "audio_corrupt", "the audio file cannot be decoded", hint="Open it in a player and save it again."
        ) from error
    # Samples beyond -1..1, or not finite, are left for `read` to judge.
    is_regular = bool(len(values)) and float(np.abs(values).max()) <= 1
    part = io.BytesIO()
    soundfile.write(part, values, rate_hz, format="WAV", subtype="PCM_16" if is_regular else "FLOAT")
    return part.getvalue()


def looks_like_audio(start: bytes) -> bool:
    """Return whether the first 12 bytes are those of a supported audio file."""
    return (
        (start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE")
        or (start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"))
        or start.startswith((b"fLaC", b"OggS", b"ID3"))
        or (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2)  # MPEG audio, layer 3
    )


def read(data: bytes, *, max_seconds: float = MAX_SECONDS) -> DecodedAudio:
    """Decode like `decode`, and list repairs and warnings.

    The header is checked before any sample is unpacked.
    """
    # Imported here: it loads a shared library, which a process that only reads names or texts does not need.
    import soundfile

    if not looks_like_audio(data[:12]):
        raise UnreadableAudio(
            "audio_unknown_format", "the file is not an audio file", hint=f"Send {_FORMAT_NAMES}, as a whole file."
        )
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file.format, file.samplerate, file.channels, file.frames, max_seconds)
            # The length in the header may be too small (a stream has none), so reading enforces the limit as well.
            max_frames = min(int(max_seconds * file.samplerate), MAX_VALUES // file.channels)
            values = file.read(frames=min(file.frames, max_frames + 1), dtype="float32", always_2d=True)
            rate_hz = file.samplerate
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError) as error:
        raise UnreadableAudio(
            "audio_corrupt", "the audio file cannot be decoded", hint="Open it in a player and save it again."
        ) from error
    if len(values) > max_frames:
        raise _too_long(len(values) / rate_hz, max_seconds)
    return _to_mono(values, rate_hz)


def read_seconds(data: bytes) -> float | None:
    """Return the duration from the header alone; None if it is unknown."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return file.frames / file.samplerate if 0 <= file.frames < UNKNOWN_FRAMES else None
    except (soundfile.SoundFileError, RuntimeError, ValueError, OverflowError):
        return None


def _check_header(audio_format: str, rate_hz: int, channels: int, frames: int, max_seconds: float) -> None:
    if audio_format not in _FORMATS:
        raise UnreadableAudio(
            "audio_unknown_format", f"audio files in {audio_format} are not supported", hint=f"Send {_FORMAT_NAMES}."
        )
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        expected = f"{MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz"
        message = f"the sample rate is {rate_hz:,} Hz (limits {expected})"
        hint = "Convert the clip to 16,000 Hz, or correct its header."
        raise UnreadableAudio("audio_rate", message, hint=hint, expected=expected)
    # The length of a stream is only known once it is read.
    if frames * channels > MAX_VALUES and frames < UNKNOWN_FRAMES:
        raise _too_long(frames / rate_hz, max_seconds)
    if max_seconds * rate_hz < frames < UNKNOWN_FRAMES:
        raise _too_long(frames / rate_hz, max_seconds)


def _too_long(seconds: float, max_seconds: float) -> UnreadableAudio:
    message = f"the audio clip lasts {seconds:,.1f} s (limit {max_seconds:,.0f} s)"
    hint = "Cut it at pauses into clips of at most 30 seconds."
    return UnreadableAudio("audio_too_long", message, hint=hint, expected=f"at most {max_seconds:,.0f} s")


def _to_mono(values_NC: np.ndarray, rate_hz: int) -> DecodedAudio:
    """Average the channels C of N frames, and scale to -1..1."""
    repairs, warnings = [], []
    if not len(values_NC):
        message = "the audio file has no samples"
        raise UnreadableAudio("audio_empty", message, hint="Record it again.", expected="at least one sample")
    if not np.isfinite(values_NC).all():
        message = "the audio clip contains NaN or infinite samples"
        raise UnreadableAudio("audio_not_finite", message, hint="Export it again as 16-bit WAV or FLAC.")
    samples = values_NC[:, 0]
    if values_NC.shape[1] > 1:
        repairs.append("audio_mixed_down")
        samples = values_NC.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(samples).max())
    if peak > 1:
        repairs.append("audio_too_loud")
        samples = samples / np.float32(peak)
    elif peak < SILENT_PEAK:
        warnings.append("audio_silent")
    elif float((np.abs(samples) >= 0.999).mean()) > MAX_CLIPPED_FRACTION:
        warnings.append("audio_clipped")
    return DecodedAudio(Audio(np.ascontiguousarray(samples), rate_hz), tuple(repairs), tuple(warnings))
