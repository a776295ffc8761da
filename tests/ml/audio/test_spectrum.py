import numpy as np
import pytest
from pydantic import ValidationError

from ml.audio.framing import SpectrumConfig
from ml.audio.spectrum import MIN_POWER, Framing, log_mel, mel_filterbank, stft

CONFIG = Framing(rate_hz=8_000, window=200, hop=80, bands=40)


def test_there_is_a_frame_at_each_multiple_of_the_hop() -> None:
    for samples in (0, 1, 79, 80, 81, 8_000):
        assert log_mel(np.zeros(samples, dtype=np.float32), CONFIG).shape == (1 + samples // 80, 40)


def test_silence_is_the_floor_and_not_minus_infinity() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(800, dtype=np.float32), CONFIG), np.log(MIN_POWER), rtol=1e-6)


def test_a_tone_is_loudest_in_the_band_that_holds_it_whatever_the_window() -> None:
    samples = np.sin(2 * np.pi * 1_000 * np.arange(8_000) / 8_000).astype(np.float32)
    for window in (200, 256, 400):
        config = Framing(rate_hz=8_000, window=window, hop=80, bands=40)
        bins_hz = np.fft.rfftfreq(config.transform, 1 / 8_000)
        middles = mel_filterbank(config) @ bins_hz
        loudest = int(log_mel(samples, config)[50].argmax())
        assert abs(middles[loudest] - 1_000) < 60


def test_the_transform_is_numpys_of_each_window() -> None:
    samples = np.random.default_rng(0).normal(size=1_000).astype(np.float32)
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200)
    expected = np.fft.rfft(samples[300:500] * shape, 256)  # centered on 400, the fifth multiple of the hop
    np.testing.assert_allclose(stft(samples, CONFIG)[5], expected, atol=1e-4)


@pytest.mark.parametrize("bands", [4, 40, 128])
def test_white_noise_has_the_same_power_in_every_band(bands: int) -> None:
    weights = mel_filterbank(Framing(rate_hz=8_000, window=200, hop=80, bands=bands))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert weights.min() >= 0


def test_windows_that_leave_samples_out_are_refused() -> None:
    with pytest.raises(ValidationError, match="hop must be at most window"):
        SpectrumConfig(rate_hz=8_000, window=100, hop=101, bands=40)
