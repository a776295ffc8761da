import numpy as np
import pytest
from pydantic import ValidationError

from ml.audio.waveform import Audio
from ml.encoders.log_mel import LogMelEncoder
from ml.encoders.mel_spectrogram import MelSpectrogramEncoder


def speak(seconds: float, rate_hz: int = 8_000, *, level: float = 0.5, seed: int = 0) -> Audio:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(seed).normal(size=round(seconds * 4_000) + 1)
    wave = np.interp(time, np.arange(len(noise)) / 4_000, noise) * np.hanning(len(time))
    return Audio((level * wave / np.abs(wave).max()).astype(np.float32), rate_hz)


RECORDINGS = [speak(0.2 + 0.05 * row, seed=row) for row in range(8)]


def test_it_learns_the_commonest_rate_and_a_mean_and_spread_for_each_band() -> None:
    encoder = LogMelEncoder.learn([*RECORDINGS, speak(0.3, 44_100)], {})

    assert encoder.config.rate_hz == 8_000
    frames = np.concatenate(encoder.encode(RECORDINGS)).astype(np.float64)
    assert np.abs(frames.mean(axis=0)).max() < 0.3  # the ninth, which counted as well, was left out here
    assert np.abs(frames.std(axis=0) - 1).max() < 0.3


def test_more_than_16_kilohertz_is_read_only_when_asked() -> None:
    high = [speak(0.3, 44_100, seed=row) for row in range(2)]
    assert LogMelEncoder.learn(high, {}).config.rate_hz == 16_000
    assert LogMelEncoder.learn(high, {"rate_hz": 44_100}).config.hop == 160 * 44_100 // 16_000


def test_the_same_recording_at_another_rate_and_loudness_is_read_alike() -> None:
    encoder = LogMelEncoder.learn(RECORDINGS, {})
    expected, *others = (
        item.astype(np.float32) for item in encoder.encode([speak(0.4), speak(0.4, level=0.05), speak(0.4, 22_050)])
    )
    np.testing.assert_allclose(others[0], expected, atol=0.05)  # float16, and the floor that does not fade along
    assert len(others[1]) == len(expected)
    assert np.abs(others[1] - expected).mean() < 0.2  # near the upper edge two filters differ; a stranger is off by 1.1


def test_stacked_frames_are_neighbors_and_fewer() -> None:
    encoder = LogMelEncoder.learn(RECORDINGS, {"bands": 5, "stacked": 3, "stride": 2})
    column = encoder.encode(RECORDINGS[:2])

    read = encoder.collate(column)

    assert encoder.shape() == {"bins": 15}
    assert read["mask"].sum(axis=1).tolist() == [encoder.length(len(frames)) for frames in column]
    np.testing.assert_array_equal(read["signal"][1, 3], column[1][5:8].astype(np.float32).ravel())
    assert (read["signal"][0][~read["mask"][0]] == 0).all()


@pytest.mark.parametrize("options", [{"stacked": 1, "stride": 2}, {"hop": 900}, {"bands": 1}, {"no": 1}])
def test_a_config_that_would_skip_sound_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LogMelEncoder.learn(RECORDINGS, options)


def test_a_spectrogram_becomes_a_wave_of_the_same_length_and_bands() -> None:
    encoder = MelSpectrogramEncoder.learn(RECORDINGS, {})
    frames = encoder.encode([RECORDINGS[3]])[0].astype(np.float32)

    sound = encoder.to_audio(frames)

    assert sound.rate_hz == 8_000
    assert sound.seconds == pytest.approx(len(frames) * encoder.config.hop / 8_000)
    again = encoder.encode([sound])[0][: len(frames)].astype(np.float32)
    assert np.abs(again - frames).mean() < 0.5 * np.abs(frames).mean()
