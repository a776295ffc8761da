import contextlib
import io

import numpy as np
import pytest
import soundfile

from ml.audio.waveform import Audio
from ml.data.files import audio
from ml.data.files.audio import UnreadableAudio

RATE = 8_000


def tone(seconds: float = 0.25, *, channels: int = 1, rate_hz: int = RATE, level: float = 0.5) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.repeat(wave[:, None], channels, axis=1)


def encode(values: np.ndarray, format: str = "WAV", width: str | None = None, rate_hz: int = RATE) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, values, rate_hz, format=format, subtype=width)
    return content.getvalue()


def read_error(data: bytes, **options: float) -> UnreadableAudio:
    with pytest.raises(UnreadableAudio) as caught:
        audio.decode(data, **options)
    return caught.value


@pytest.mark.parametrize(
    ("format", "width", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2),  # 256 steps
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 1e-6),
        ("WAV", "ULAW", 3e-2),  # coarse where it is loud
        ("WAV", "IMA_ADPCM", None),  # needs a few samples to follow
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 5e-2),
        ("MP3", None, None),  # comes with a delay of its own
        ("AIFF", "PCM_16", 1e-4),
    ],
)
def test_every_supported_format_and_sample_width_is_decoded(
    format: str, width: str | None, tolerance: float | None
) -> None:
    decoded = audio.decode(encode(tone(), format, width))

    assert decoded.rate_hz == RATE
    assert decoded.samples.dtype == np.float32
    if tolerance is not None:
        np.testing.assert_allclose(decoded.samples[: len(tone())], tone()[:, 0], atol=tolerance)


@pytest.mark.parametrize("rate_hz", [4_000, 11_025, 44_100, 96_000])
def test_unusual_sample_rates_are_left_to_the_encoder(rate_hz: int) -> None:
    assert audio.decode(encode(tone(rate_hz=rate_hz), rate_hz=rate_hz)).seconds == pytest.approx(0.25, abs=1e-3)


def test_several_channels_are_averaged_and_reported() -> None:
    both = np.concatenate([tone(), -0.5 * tone()], axis=1)

    decoded = audio.read(encode(both))

    assert decoded.repairs == ("audio_mixed_down",)
    np.testing.assert_allclose(decoded.audio.samples, 0.25 * tone()[:, 0], atol=1e-4)


def test_floats_beyond_full_scale_are_scaled_down() -> None:
    decoded = audio.read(encode(tone(level=3.0), width="FLOAT"))

    assert decoded.repairs == ("audio_too_loud",)
    assert np.abs(decoded.audio.samples).max() == pytest.approx(1)


def test_silence_and_clipping_are_reported() -> None:
    assert audio.read(encode(0 * tone())).warnings == ("audio_silent",)
    assert audio.read(encode(np.clip(tone(level=3.0), -1, 1))).warnings == ("audio_clipped",)


def test_unreadable_audio_has_an_issue_code() -> None:
    assert read_error(b"hello, world").issue == "audio_unknown_format"
    assert read_error(encode(tone())[:20]).issue == "audio_corrupt"
    assert read_error(b"ID3" + bytes(400)).issue == "audio_corrupt"
    assert read_error(encode(np.empty((0, 1)))).issue == "audio_empty"
    assert read_error(encode(np.full((100, 1), np.nan), width="FLOAT")).issue == "audio_not_finite"
    assert read_error(encode(tone(), rate_hz=1_000)).issue == "audio_rate"


def test_a_long_clip_is_rejected_by_its_header() -> None:
    error = read_error(encode(np.zeros((RATE * 100, 1)), "FLAC"), max_seconds=10)

    assert error.issue == "audio_too_long"
    assert "100.0 s" in error.message


def test_sixteen_bits_survive_encoding_and_decoding() -> None:
    samples = tone()[:, 0].astype(np.float32)

    again = audio.decode(audio.encode_wav(Audio(samples, RATE)))

    assert again.rate_hz == RATE
    np.testing.assert_allclose(again.samples, samples, atol=1 / 32_000)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_crash_the_decoder(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for format in ("WAV", "FLAC", "OGG"):
        data = bytearray(encode(tone(0.05), format))
        for position in generator.integers(12, len(data), size=8):
            data[position] = generator.integers(256)
        with contextlib.suppress(UnreadableAudio):
            assert np.isfinite(audio.decode(bytes(data)).samples).all()
