import numpy as np
import pytest

from ml.preprocessing.augmentation import (
    BRIGHTNESS,
    CONTRAST,
    FEW_ROWS,
    NOISE,
    SHIFT,
    augment,
    random_affine,
    random_shift,
    resolve,
    vary_light,
)


def generator(seed=0):
    return np.random.default_rng(seed)


def test_the_same_random_state_gives_the_same_images():
    images = generator().integers(0, 256, size=(4, 3, 9, 7), dtype=np.uint8)

    first, second, other = (random_affine(images, generator(seed)) for seed in (1, 1, 2))

    assert first.shape == images.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_an_image_of_one_color_stays_so():
    images = np.full((3, 1, 12, 12), 77, dtype=np.uint8)

    np.testing.assert_array_equal(random_affine(images, generator()), images)


def test_a_shift_moves_all_channels_by_whole_pixels_and_repeats_edges() -> None:
    images = generator().integers(0, 256, size=(200, 2, 28, 60), dtype=np.uint8)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (2, 2)), mode="edge")
    shifts = set()
    for image, moved in zip(padded, random_shift(images, generator()), strict=True):
        options = {(top, left): image[:, top : top + 28, left : left + 60] for top in range(3) for left in range(5)}
        shifts |= {shift for shift, option in options.items() if np.array_equal(option, moved)}
    assert len(shifts) == 15, "every shift occurs in 200 images"


def test_channels_move_together():
    images = np.repeat(generator().integers(0, 256, size=(4, 1, 16, 16), dtype=np.uint8), 3, axis=1)

    moved = random_affine(images, generator())

    np.testing.assert_array_equal(moved[:, 0], moved[:, 1])
    np.testing.assert_array_equal(moved[:, 0], moved[:, 2])


def test_a_dot_in_the_middle_moves_by_the_shift_at_most():
    images = np.zeros((200, 1, 41, 41), dtype=np.uint8)
    images[:, :, 19:22, 19:22] = 255

    moved = random_affine(images, generator()).astype(float)

    places = np.arange(41)
    total = moved.sum(axis=(1, 2, 3))
    across = (moved.sum(axis=(1, 2)) * places).sum(axis=1) / total - 20
    down = (moved.sum(axis=(1, 3)) * places).sum(axis=1) / total - 20
    # What is shifted by s before it is scaled by at most exp(0.1) and turned lands within s * exp(0.1) * sqrt(2).
    reach = SHIFT * 41 * np.exp(0.1) * np.sqrt(2) + 0.5
    assert np.abs(across).max() < reach
    assert np.abs(down).max() < reach
    assert across.std() > 0.5
    assert down.std() > 0.5


def test_nothing_is_mirrored():
    images = np.zeros((100, 1, 20, 20), dtype=np.uint8)
    images[:, :, 5:15, 3:5] = 255

    moved = random_affine(images, generator())

    assert moved[:, :, :, :10].sum() > 0.99 * moved.sum()


def test_a_ramp_stays_a_ramp_in_both_directions():
    """Linear interpolation of what is linear is exact, but for rounding."""
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8) * 6, (50, 1, 40, 40))

    for images in (ramp, ramp.transpose(0, 1, 3, 2)):
        # Far from the edges, which are drawn out.
        inner = random_affine(np.ascontiguousarray(images), generator()).astype(int)[:, 0, 10:30, 10:30]
        for axis in (1, 2):
            assert np.abs(np.diff(inner, n=2, axis=axis)).max() <= 2


@pytest.mark.parametrize(
    ("augmentation", "rows", "strength"),
    [("auto", FEW_ROWS - 1, "light"), ("auto", FEW_ROWS, "shift"), ("strong", 60_000, "strong"), ("off", 10, "off")],
)
def test_only_few_images_are_augmented_by_default(augmentation, rows, strength):
    assert resolve(augmentation, rows=rows, many="shift") == strength


def test_a_strong_augmentation_varies_light_within_limits():
    images = np.full((64, 3, 12, 12), 120, dtype=np.uint8)

    varied = vary_light(images, generator()).astype(float)

    means = varied.mean(axis=(1, 2, 3))
    # The mean of 432 values of noise deviates by less than a fifth of one value.
    assert np.abs(means - 120).max() <= BRIGHTNESS + NOISE / 5
    assert np.ptp(means) > BRIGHTNESS
    assert NOISE / 2 < varied.std(axis=(1, 2, 3)).max() < 1.5 * NOISE


def test_contrast_changes_around_the_mean_of_the_image():
    images = np.tile(np.array([80, 160], dtype=np.uint8), (64, 1, 12, 6))

    ranges = np.ptp(vary_light(images, generator()).astype(float).mean(axis=(1, 2)), axis=1)

    assert ranges.min() > 80 * np.exp(-CONTRAST) - NOISE
    assert ranges.max() < 80 * np.exp(CONTRAST) + 2 * NOISE


def test_augmentation_that_is_off_changes_nothing():
    images = generator().integers(0, 256, size=(4, 1, 16, 16), dtype=np.uint8)

    assert augment(images, generator(), strength="off") is images
    light, strong = (augment(images, generator(), strength=strength) for strength in ("light", "strong"))
    assert (light != images).any()
    assert (strong != light).any()
