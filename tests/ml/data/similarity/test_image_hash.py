"""Perceptual hashes of images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from ml.data.similarity import image_hash
from tests.support.ml.dataset_files import encode_image


def photo(seed: int, side: int = 160) -> Image.Image:
    """Make a smooth image of colored spots."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def similarity(one: bytes | np.ndarray, other: bytes | np.ndarray) -> float:
    grays = np.stack([image_hash.to_gray(image) for image in (one, other)])
    hashes, thumbnails = image_hash.make_hashes(grays), image_hash.make_thumbnails(grays)
    return float(image_hash.compare(hashes, thumbnails, np.array([0]), np.array([1]))[0])


COPIES = {
    "jpeg": lambda image: encode(image, "JPEG", quality=40),
    "smaller": lambda image: encode(image.resize((70, 70), Image.Resampling.LANCZOS)),
    "larger": lambda image: encode(image.resize((300, 300), Image.Resampling.BICUBIC), "JPEG"),
    "brighter": lambda image: encode(ImageEnhance.Brightness(image).enhance(1.1)),
    "flatter": lambda image: encode(ImageEnhance.Contrast(image).enhance(0.7)),
    "gray": lambda image: encode(image.convert("L")),
    "blurred": lambda image: encode(image.filter(ImageFilter.GaussianBlur(1))),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_in_another_form_is_similar(name: str) -> None:
    for seed in range(10):
        assert similarity(encode(photo(seed)), COPIES[name](photo(seed))) > 0.98, name


def test_other_images_are_not_similar() -> None:
    images = [encode(photo(seed)) for seed in range(20)]
    assert max(similarity(images[0], other) for other in images[1:]) < 0.9


def test_pixels_and_files_of_one_image_are_alike() -> None:
    pixels = np.asarray(photo(0))
    assert similarity(pixels, encode_image(pixels)) == pytest.approx(1, abs=1e-3)


def test_hashes_with_few_other_bits_share_a_band() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, 200, dtype=np.uint64)
    changed = hashes.copy()
    for row in range(200):
        for bit in generator.choice(64, 4, replace=False):
            changed[row] ^= np.uint64(1) << np.uint64(bit)
    same_band = image_hash.make_bands(hashes) == image_hash.make_bands(changed)
    assert same_band.any(axis=1).all()
    unrelated = image_hash.make_bands(hashes) == image_hash.make_bands(np.roll(hashes, 1))
    assert unrelated.any(axis=1).mean() < 0.05


def test_a_plain_image_has_no_thumbnail() -> None:
    plain = np.full((40, 40, 1), 77, dtype=np.uint8)
    assert not image_hash.make_thumbnails(image_hash.to_gray(plain[None])).any()
