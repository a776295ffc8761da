import numpy as np

from ml.audio.spectrum import Framing
from ml.audio.waveform import Audio
from ml.preprocessing.log_mel_frames import normalize_bands, pad_frames, peak_normalized_log_mel, stack_frames

FRAMING = Framing(rate_hz=8_000, window=200, hop=80, bands=8)


def test_the_level_of_a_clip_does_not_change_its_spectrogram():
    samples = np.random.default_rng(0).normal(size=4_000).astype(np.float32)

    loud, quiet = (peak_normalized_log_mel(Audio(samples * level, 8_000), FRAMING) for level in (0.25, 0.01))

    assert loud.shape == (FRAMING.frames(4_000), 8)
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_a_clip_of_another_rate_has_the_frames_of_the_framing():
    silence = Audio(np.zeros(16_000, dtype=np.float32), 16_000)

    assert len(peak_normalized_log_mel(silence, FRAMING)) == FRAMING.frames(8_000)


def test_stacking_repeats_the_ends():
    frames = np.arange(5, dtype=np.float32)[:, None]

    stacked = stack_frames(frames, stacked=3, stride=2)

    assert stacked.tolist() == [[0, 0, 1], [1, 2, 3], [3, 4, 4]]


def test_bands_are_normalized_to_half_precision():
    normalized = normalize_bands(np.array([[1.0, 6.0]]), mean=[0.0, 2.0], deviation=[0.5, 4.0])

    assert normalized.dtype == np.float16
    assert normalized.tolist() == [[2.0, 1.0]]


def test_bands_may_be_normalized_by_their_mean_over_the_clip():
    clip = np.array([[1.0, 6.0], [3.0, 10.0]])

    normalized = normalize_bands(clip, mean=[0.0, 2.0], deviation=[0.5, 4.0], per_clip=True)

    assert normalized.tolist() == [[-2.0, -0.5], [2.0, 0.5]]


def test_padded_frames_are_zero_and_masked():
    padded = pad_frames([np.ones((2, 1)), np.ones((3, 1))])

    assert padded["signal"][:, :, 0].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert padded["mask"].tolist() == [[True, True, False], [True, True, True]]
