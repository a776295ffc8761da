import numpy as np

from ml.preprocessing.image_resizing import normalize, resize


def test_an_image_of_the_same_shape_is_returned_unchanged():
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)

    assert resize(pixels, width=6, height=4, channels=3) is pixels


def test_resizing_changes_size_and_channels():
    pixels = np.full((8, 4, 3), 100, dtype=np.uint8)

    resized = resize(pixels, width=2, height=3, channels=1)

    assert resized.shape == (3, 2, 1)
    assert set(resized.ravel().tolist()) == {100}


def test_normalization_is_by_channel():
    pixels = np.array([0, 255], dtype=np.uint8).reshape(1, 2, 1, 1)

    signal = normalize(pixels, mean=[0.5, 0.5], deviation=[0.5, 0.25])

    assert signal.dtype == np.float32
    assert signal.ravel().tolist() == [-1.0, 2.0]
    assert normalize(pixels).ravel().tolist() == [0.0, 1.0]


def test_an_image_that_keeps_its_ratio_is_centered_on_gray():
    pixels = np.full((30, 60, 3), 200, dtype=np.uint8)
    resized = resize(pixels, width=8, height=8, channels=3, keep_ratio=True)
    assert resized.shape == (8, 8, 3)
    assert (resized[2:6] == 200).all()
    assert (resized[:2] == 128).all()
    assert (resized[6:] == 128).all()
