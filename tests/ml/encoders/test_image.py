import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from ml.data.rows import ImageArray
from ml.encoders.image import INSPECTED_IMAGES, ImageEncoder
from ml.preprocessing.image_sizes import MAX_KEPT_SIDE, MIXED_SIDE
from tests.support.ml import image_models


def image(height: int, width: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(height, width, channels), dtype=np.uint8)


def learn(*values: np.ndarray, **options: int) -> dict[str, int]:
    return ImageEncoder.learn(values, options).shape()


def test_one_size_is_kept_as_it_is():
    assert learn(image(28, 20), image(28, 20)) == {"height": 28, "width": 20, "channels": 1}


def test_mixed_sizes_become_a_square():
    assert learn(image(100, 80), image(300, 70)) == {"height": MIXED_SIDE, "width": MIXED_SIDE, "channels": 1}


def test_small_mixed_sizes_are_not_blown_up():
    assert learn(image(10, 12), image(20, 8)) == {"height": 20, "width": 20, "channels": 1}


def test_a_large_size_is_brought_down_in_its_proportions():
    assert learn(image(512, 1024)) == {"height": 128, "width": MAX_KEPT_SIDE, "channels": 1}


def test_one_color_image_makes_all_color():
    assert learn(image(8, 8, 1), image(8, 8, 3))["channels"] == 3


def test_options_have_precedence_over_the_data():
    assert learn(image(28, 28), height=32, channels=3) == {"height": 32, "width": 28, "channels": 3}


def test_an_impossible_size_is_refused():
    with pytest.raises(ValidationError, match="height"):
        learn(image(28, 28), height=0)


def test_learning_reads_a_bounded_number_of_images():
    class Counted(list):
        looks = 0

        def __getitem__(self, index):
            self.looks += 1
            return super().__getitem__(index)

    values = Counted([image(4, 4)] * (5 * INSPECTED_IMAGES + 3))
    ImageEncoder.learn(values, {})

    assert 0 < values.looks <= INSPECTED_IMAGES


def test_an_array_is_read_whole_and_equals_reading_its_images():
    array = np.stack([image(8, 8, seed=seed) for seed in range(5)])

    whole = image_models.encoder().encode(ImageArray(array))

    assert whole.flags.c_contiguous
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, image_models.encoder().encode(list(array)))
    np.testing.assert_array_equal(whole[3, 0], array[3, :, :, 0])


def test_an_array_of_another_size_is_resized_like_single_images():
    array = np.stack([image(16, 12, seed=seed) for seed in range(3)])

    whole = image_models.encoder().encode(ImageArray(array))

    np.testing.assert_array_equal(whole, image_models.encoder().encode(list(array)))


def test_halving_a_checkerboard_gives_gray_not_noise():
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None]

    encoded = image_models.encoder(height=16, width=16).encode([board])

    assert encoded[0, 0, 1:-1, 1:-1] == pytest.approx(128, abs=2)


def test_color_becomes_gray_by_the_weights_of_bt_601():
    red = np.zeros((8, 8, 3), dtype=np.uint8)
    red[:, :, 0] = 200

    assert image_models.encoder().encode([red])[0, 0, 0, 0] == round(0.299 * 200)


def test_gray_becomes_color_by_repeating():
    gray = image(8, 8)

    encoded = image_models.encoder(channels=3).encode([gray])

    np.testing.assert_array_equal(encoded[0], np.repeat(gray.transpose(2, 0, 1), 3, axis=0))


def test_height_and_width_are_not_mixed_up():
    tall = np.zeros((40, 10, 1), dtype=np.uint8)
    tall[:20] = 255

    encoded = image_models.encoder(height=20, width=10).encode([tall])

    assert encoded.shape == (1, 1, 20, 10)
    assert encoded[0, 0, :9].min() == 255
    assert encoded[0, 0, 11:].max() == 0


def test_resizing_is_pillows():
    value = image(13, 17)

    encoded = image_models.encoder().encode([value])

    expected = Image.fromarray(value[:, :, 0]).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(encoded[0, 0], np.asarray(expected))


def test_the_signal_runs_from_0_to_1():
    column = np.array([0, 51, 255], dtype=np.uint8).reshape(3, 1, 1, 1)

    signal = image_models.encoder(height=1, width=1).collate(column)["signal"]

    assert signal.dtype == np.float32
    assert signal.ravel().tolist() == [0.0, np.float32(0.2), 1.0]


def test_only_color_read_as_gray_is_a_loss():
    color = image_models.summary(facts={"image": {"channels": 3}})

    assert "color" in (ImageEncoder.data_loss(image_models.encoder(channels=1).config, color) or "")
    assert ImageEncoder.data_loss(image_models.encoder(channels=3).config, color) is None
    assert ImageEncoder.data_loss(image_models.encoder(channels=3).config, image_models.summary()) is None
