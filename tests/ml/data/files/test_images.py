import io

import numpy as np
import pytest
from PIL import Image

from ml.data.files import images
from ml.errors import InputError
from tests.support.ml.dataset_files import encode_image, make_images, make_oversized_png


def save(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_pixels_that_were_saved(format, channels):
    pixels = make_images(1, side=9, channels=channels)[0]
    assert np.array_equal(images.decode(encode_image(pixels, format=format)), pixels)


def test_a_png_made_here_reads_the_same():
    for channels in (1, 3):
        pixels = make_images(1, side=7, channels=channels)[0]
        assert np.array_equal(images.decode(images.encode_png(pixels)), pixels)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(format):
    pixels = np.full((16, 16, 3), 100, dtype=np.uint8)
    assert np.abs(images.decode(encode_image(pixels, format=format)).astype(int) - 100).max() <= 3


def test_sixteen_bits_keep_their_upper_half():
    picture = images.read(save(Image.fromarray(np.array([[0, 256, 65_535]], dtype=np.uint16))))
    assert picture.pixels[0, :, 0].tolist() == [0, 1, 255]
    assert picture.repairs == ("image_16_bit",)


def test_one_bit_is_black_and_white():
    picture = images.read(save(Image.fromarray(np.array([[True, False]]))))
    assert picture.pixels[0, :, 0].tolist() == [255, 0]
    assert picture.repairs == ()


def test_a_palette_of_greys_is_grey_and_one_of_colours_is_not():
    grey = Image.fromarray(make_images(1)[0, :, :, 0]).convert("P")
    assert images.decode(save(grey)).shape == (6, 6, 1)
    colour = Image.new("P", (4, 4), 1)
    colour.putpalette([0, 0, 0, 200, 30, 0])
    assert images.decode(save(colour))[0, 0].tolist() == [200, 30, 0]


def test_what_is_transparent_lies_on_white():
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (10, 20, 30, 255))
    picture = images.read(save(half))
    assert picture.pixels[0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert picture.repairs == ("image_transparent",)
    grey = images.read(save(Image.new("LA", (2, 2), (0, 0))))
    assert grey.pixels.shape == (2, 2, 1)
    assert grey.pixels.min() == 255


def test_an_alpha_channel_that_hides_nothing_is_no_repair():
    assert images.read(save(Image.new("RGBA", (2, 2), (1, 2, 3, 255)))).repairs == ()


def test_cmyk_becomes_rgb():
    picture = images.read(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert picture.repairs == ("image_colour_space",)
    red, green, blue = picture.pixels[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_taken_sideways_is_turned_upright(format):
    lying = Image.new("RGB", (20, 10), "black")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise when shown
    assert images.decode(save(lying, format, exif=exif)).shape == (20, 10, 3)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(format):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("black", "white")]
    lossless = {"lossless": True} if format == "WEBP" else {}
    picture = images.read(save(frames[0], format, save_all=True, append_images=frames[1:], **lossless))
    assert picture.pixels.max() == 0
    assert "image_frames" in picture.repairs


def test_a_truncated_picture_says_so():
    data = save(Image.fromarray(make_images(1, side=64, channels=3)[0]), "JPEG")
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(data[: len(data) // 2])
    assert caught.value.issue == "image_truncated"


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg></svg>", b"%PDF-1.7", bytes(100)])
def test_what_is_no_picture_is_an_input_error(data):
    with pytest.raises(InputError, match="not an image") as caught:
        images.decode(data)
    assert caught.value.hint is not None
    assert "PNG" in caught.value.hint


def test_a_damaged_picture_is_an_input_error():
    data = bytearray(save(Image.new("RGB", (50, 50))))
    data[40:60] = b"x" * 20
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(bytes(data))
    assert caught.value.issue in ("image_corrupt", "image_truncated")


@pytest.mark.parametrize(
    ("width", "height"), [(5001, 5000), (13_000, 13_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_huge_picture_is_refused_by_its_header(width, height):
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(make_oversized_png(width, height))
    assert caught.value.issue == "image_too_large"


def test_the_limit_on_pixels_is_the_callers():
    with pytest.raises(InputError, match="limit 99 in all"):
        images.decode(encode_image(make_images(1, side=10)[0]), max_pixels=99)
