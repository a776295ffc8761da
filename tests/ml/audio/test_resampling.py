import numpy as np
import pytest

from ml.audio.resampling import resample


def tone(hertz: float, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("new_rate_hz", [8_000, 11_025, 16_000, 22_050, 48_000, 44_101])
def test_a_tone_that_both_rates_hold_stays_the_same_tone(new_rate_hz: int) -> None:
    resampled = resample(tone(1_000, 44_100), 44_100, new_rate_hz)

    assert len(resampled) == -(-22_050 * new_rate_hz // 44_100)
    inside = slice(200, -200)  # at the ends half of the neighbors are silence
    expected = tone(1_000, new_rate_hz, len(resampled) / new_rate_hz)
    np.testing.assert_allclose(resampled[inside], expected[inside], atol=1e-4)  # 80 dB


def test_frequencies_above_the_new_rate_are_removed_and_not_folded_back() -> None:
    resampled = resample(tone(7_000, 44_100), 44_100, 8_000)
    assert np.abs(resampled[200:-200]).max() < 1e-3  # where it begins and ends, a tone is a click of all pitches


@pytest.mark.parametrize("length", [1, 2, 7])
def test_even_a_few_samples_can_be_resampled(length: int) -> None:
    assert len(resample(np.ones(length, dtype=np.float32), 8_000, 16_000)) == 2 * length
    assert len(resample(np.ones(length, dtype=np.float32), 192_000, 4_000)) == 1


def test_at_the_same_rate_nothing_is_touched() -> None:
    samples = tone(100, 8_000)
    assert resample(samples, 8_000, 8_000) is samples
