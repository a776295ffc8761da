import numpy as np
import pytest

from ml.preprocessing import audio_augmentation
from ml.preprocessing.audio_augmentation import FEW_ROWS, augment, mask, resolve


def make_clips(count: int = 20, frames: int = 50, bands: int = 40) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(count, frames, bands)).astype(np.float16))


@pytest.mark.parametrize(
    ("augmentation", "rows", "strength"),
    [
        ("auto", FEW_ROWS - 1, "strong"),
        ("auto", FEW_ROWS, "off"),
        ("off", 10, "off"),
        ("light", 10, "light"),
        ("strong", 10**6, "strong"),
    ],
)
def test_only_few_rows_are_augmented_by_default(augmentation: str, rows: int, strength: str) -> None:
    assert resolve(augmentation, rows=rows) == strength  # type: ignore[arg-type]  # parametrized literals


def test_off_leaves_the_clips() -> None:
    clips = make_clips()
    assert all(a is b for a, b in zip(augment(clips, np.random.default_rng(0), strength="off"), clips, strict=True))


def test_a_strong_augmentation_varies_a_copy_within_limits() -> None:
    clips = make_clips()
    before = [clip.copy() for clip in clips]

    varied = augment(clips, np.random.default_rng(0), strength="strong")

    assert all(np.array_equal(clip, copy) for clip, copy in zip(clips, before, strict=True))
    lengths = [len(clip) for clip in varied]
    limit = audio_augmentation.MAX_SPEED * (1 + audio_augmentation.MAX_DELAY)
    assert 50 / audio_augmentation.MAX_SPEED - 1 <= min(lengths) < 50 < max(lengths) <= 50 * limit + 1
    assert {(clip.shape[1], clip.dtype) for clip in varied} == {(40, np.dtype(np.float16))}
    assert all(np.isfinite(clip).all() for clip in varied)


def test_equal_random_states_vary_alike() -> None:
    first, second = (augment(make_clips(), np.random.default_rng(3), strength="strong") for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_pitch_of_a_tone_moves_and_its_beginning_is_later() -> None:
    tone = np.zeros((40, 40), dtype=np.float16)
    tone[10:30, 20] = 9

    peaks, starts = set(), set()
    for varied in augment([tone] * 50, np.random.default_rng(0), strength="strong"):
        peaks.add(int(varied.max(axis=0).argmax()))
        starts.add(int((varied.max(axis=1) > 4).argmax()))

    assert min(peaks) < 20 < max(peaks)
    assert min(starts) < 10 < max(starts)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_clips_of_a_few_frames_are_varied(frames: int) -> None:
    (varied,) = augment(make_clips(1, frames=frames), np.random.default_rng(0), strength="strong")
    assert len(varied) >= min(2, frames)


def test_a_mask_hides_at_most_a_fifth_of_the_bands_and_a_tenth_of_the_time() -> None:
    clip = np.ones((50, 40), dtype=np.float16)
    for seed in range(50):
        masked = mask(clip, np.random.default_rng(seed))
        assert (masked == 0).all(axis=0).sum() <= 8
        assert (masked == 0).all(axis=1).sum() <= 5
