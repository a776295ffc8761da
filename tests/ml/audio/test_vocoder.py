import numpy as np
import pytest

from ml.audio.spectrum import Framing, log_mel
from ml.audio.vocoder import PEAK_AMPLITUDE, griffin_lim, invert_mel

CONFIG = Framing(rate_hz=8_000, window=256, hop=64, bands=64)


def vowel(seconds: float = 0.4) -> np.ndarray:
    """Ten harmonics of 120 Hz, swelling and fading."""
    time = np.arange(round(seconds * 8_000)) / 8_000
    wave = sum(np.sin(2 * np.pi * 120 * number * time) / number for number in range(1, 11))
    return (0.3 * wave * np.hanning(len(time))).astype(np.float32)


def test_synthesized_sound_has_the_bands_it_was_made_of() -> None:
    samples = vowel()
    target = log_mel(samples * (PEAK_AMPLITUDE / np.abs(samples).max()), CONFIG)

    heard = log_mel(griffin_lim(target, CONFIG), CONFIG)[: len(target)]

    loud = target > target.max() - 7  # 30 dB under the loudest; below, the floor of the iteration is heard
    # Half a neper is 2 dB of power, what bands alone leave open; the mean band of this vowel is off by 25.
    assert np.abs(heard - target)[loud].mean() < 0.5


def test_the_peak_lies_at_minus_one_decibel_and_the_ends_rise_from_nothing() -> None:
    spoken = griffin_lim(log_mel(vowel(), CONFIG), CONFIG)

    assert np.abs(spoken).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    assert max(abs(spoken[0]), abs(spoken[-1])) < 1e-3
    assert spoken.dtype == np.float32


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_it_lasts_as_many_hops_as_there_are_frames(frames: int) -> None:
    assert len(griffin_lim(np.full((frames, 64), -5.0), CONFIG)) == frames * 64


@pytest.mark.parametrize("level", [-1e9, -20.0, 1e9])
def test_frames_that_no_audio_clip_has_end_in_finite_sound(level: float) -> None:
    assert np.isfinite(griffin_lim(np.full((5, 64), level), CONFIG)).all()


def test_the_same_frames_always_sound_the_same() -> None:
    frames = log_mel(vowel(0.1), CONFIG)
    np.testing.assert_array_equal(griffin_lim(frames, CONFIG), griffin_lim(frames, CONFIG))


def test_unfolded_bands_fold_back_into_themselves() -> None:
    from ml.audio.spectrum import mel_filterbank

    power = np.exp(log_mel(vowel(), CONFIG).astype(np.float64))
    folded = invert_mel(power, CONFIG) @ mel_filterbank(CONFIG).T
    loud = power > power.max() * 1e-4
    np.testing.assert_allclose(np.log(folded[loud]), np.log(power[loud]), atol=0.5)
