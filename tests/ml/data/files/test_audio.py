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


def file(values: np.ndarray, make: str = "WAV", width: str | None = None, rate_hz: int = RATE) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, values, rate_hz, format=make, subtype=width)
    return content.getvalue()


def problem(data: bytes, **asked: float) -> UnreadableAudio:
    with pytest.raises(UnreadableAudio) as caught:
        audio.decode(data, **asked)
    return caught.value


@pytest.mark.parametrize(
    ("make", "width", "tolerance"),
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
def test_every_usual_make_and_width_is_read(make: str, width: str | None, tolerance: float | None) -> None:
    found = audio.decode(file(tone(), make, width))

    assert found.rate_hz == RATE
    assert found.samples.dtype == np.float32
    if tolerance is not None:
        np.testing.assert_allclose(found.samples[: len(tone())], tone()[:, 0], atol=tolerance)


@pytest.mark.parametrize("rate_hz", [4_000, 11_025, 44_100, 96_000])
def test_odd_rates_are_kept_for_an_encoder_to_resample(rate_hz: int) -> None:
    assert audio.decode(file(tone(rate_hz=rate_hz), rate_hz=rate_hz)).seconds == pytest.approx(0.25, abs=1e-3)


def test_several_channels_become_one_and_this_is_told() -> None:
    both = np.concatenate([tone(), -0.5 * tone()], axis=1)

    found = audio.read(file(both))

    assert found.repairs == ("audio_mixed_down",)
    np.testing.assert_allclose(found.audio.samples, 0.25 * tone()[:, 0], atol=1e-4)


def test_floats_beyond_full_scale_are_scaled_down() -> None:
    found = audio.read(file(tone(level=3.0), width="FLOAT"))

    assert found.repairs == ("audio_too_loud",)
    assert np.abs(found.audio.samples).max() == pytest.approx(1)


def test_silence_and_clipping_are_told() -> None:
    assert audio.read(file(0 * tone())).warnings == ("audio_silent",)
    assert audio.read(file(np.clip(tone(level=3.0), -1, 1))).warnings == ("audio_clipped",)


def test_what_is_no_recording_or_a_damaged_one_is_named() -> None:
    assert problem(b"hello, world").issue == "audio_unknown_format"
    assert problem(file(tone())[:20]).issue == "audio_corrupt"
    assert problem(b"ID3" + bytes(400)).issue == "audio_corrupt"
    assert problem(file(np.empty((0, 1)))).issue == "audio_empty"
    assert problem(file(np.full((100, 1), np.nan), width="FLOAT")).issue == "audio_not_finite"
    assert problem(file(tone(), rate_hz=1_000)).issue == "audio_rate"


def test_a_long_recording_is_refused_by_its_header_before_it_is_unpacked() -> None:
    refused = problem(file(np.zeros((RATE * 100, 1)), "FLAC"), max_seconds=10)

    assert refused.issue == "audio_too_long"
    assert "100.0 s" in refused.message


def test_sixteen_bits_survive_being_written_and_read() -> None:
    samples = tone()[:, 0].astype(np.float32)

    again = audio.decode(audio.encode_wav(Audio(samples, RATE)))

    assert again.rate_hz == RATE
    np.testing.assert_allclose(again.samples, samples, atol=1 / 32_000)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_refused_or_read_but_never_crash(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for make in ("WAV", "FLAC", "OGG"):
        data = bytearray(file(tone(0.05), make))
        for place in generator.integers(12, len(data), size=8):
            data[place] = generator.integers(256)
        with contextlib.suppress(UnreadableAudio):
            assert np.isfinite(audio.decode(bytes(data)).samples).all()
