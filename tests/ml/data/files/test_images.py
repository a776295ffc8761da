import base64
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from ml.data.files import images
from ml.errors import InputError
from tests.support.ml.dataset_files import (
    codes,
    encode_image,
    make_images,
    make_oversized_png,
    make_zip,
    sample,
    upload,
)


def save(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_the_pixels_that_were_saved(format, channels):
    pixels = make_images(1, side=9, channels=channels)[0]
    assert np.array_equal(images.decode(encode_image(pixels, format=format)), pixels)


def test_an_encoded_png_decodes_to_the_same_pixels():
    for channels in (1, 3):
        pixels = make_images(1, side=7, channels=channels)[0]
        assert np.array_equal(images.decode(images.encode_png(pixels)), pixels)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(format):
    pixels = np.full((16, 16, 3), 100, dtype=np.uint8)
    assert np.abs(images.decode(encode_image(pixels, format=format)).astype(int) - 100).max() <= 3


@pytest.mark.parametrize(("bits", "format"), [(bits, "PNG") for bits in (8, 10, 12, 14, 16)] + [(12, "TIFF")])
def test_gray_values_are_reduced_by_the_bits_that_they_really_have(bits, format):
    highest = (1 << bits) - 1
    values = np.linspace(0, highest, 512).astype(np.uint16).reshape(16, 32)
    decoded = images.read(save(Image.fromarray(values), format))

    assert (decoded.pixels.min(), decoded.pixels.max(), len(np.unique(decoded.pixels))) == (0, 255, 256)
    assert (decoded.bits, decoded.repairs) == (bits, ("image_16_bit",))


def insert_chunk(png, kind, data):
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


def test_the_bits_in_the_header_go_before_those_of_the_values():
    dark = Image.fromarray(np.arange(0, 1000, 10, dtype=np.uint16).reshape(10, 10))
    assert images.read(save(dark)).bits == 10
    in_png = images.read(insert_chunk(save(dark), b"sBIT", b"\x0c"))
    in_tiff = images.read(save(dark, "TIFF", tiffinfo={281: 4095}))
    assert [(image.bits, image.pixels.max()) for image in (in_png, in_tiff)] == [(12, 990 >> 4)] * 2


def test_values_in_a_small_part_of_their_range_are_reported():
    window = Image.fromarray(np.linspace(30_000, 32_000, 100).astype(np.uint16).reshape(10, 10))
    assert images.read(save(window)).repairs == ("image_16_bit", "image_range_narrow")


@pytest.mark.parametrize("values", [np.array([[-1000, 3000]], dtype=np.int32), np.array([[0.5, 1]], dtype=np.float32)])
def test_values_without_a_known_black_and_white_are_refused(values):
    with pytest.raises(images.UnreadableImage, match="pixel values from") as caught:
        images.decode(save(Image.fromarray(values), "TIFF"))
    assert caught.value.issue == "image_values"


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_transparent_gray_value_is_white_and_spoils_no_other(bits):
    highest = (1 << bits) - 1
    values = np.array([[0, highest // 3, highest - 1, highest]])
    stored = values.astype(np.uint16) if bits == 16 else (values * 255 // highest).astype(np.uint8)
    options = {"bits": bits} if bits < 8 else {}
    png = save(Image.fromarray(stored), transparency=highest // 3, **options)
    decoded = images.read(png)

    expected = (stored >> 8 if bits == 16 else stored)[0].tolist()
    expected[1] = 255
    assert decoded.pixels[0, :, 0].tolist() == expected
    assert "image_transparent" in decoded.repairs


#: A photo of 48 x 32 pixels that its container turns to 32 x 48: white on top of red and blue, made for this test.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAD4AAgAAAAACKgABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    "cAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEA"
    "AQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAGptZGF0AAAAOigBrwngFaaO8cjdlJ6/+vkf+WTQ5UVx4hiH+X6D"
    "5HN3j9+jYcTBrBn3yYYI3YXFeWkD+aUnUEb6ehIAAAAGRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)
DICOM = bytes(128) + b"DICM" + bytes(500)


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    images._load_heif.cache_clear()
    yield
    images._load_heif.cache_clear()


@pytest.mark.usefixtures("without_heif")
@pytest.mark.parametrize(("data", "code"), [(HEIC, "image_heic"), (DICOM, "image_dicom")])
def test_images_that_are_not_read_are_named_with_what_to_do(tmp_path, data, code):
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(data)
    assert (caught.value.issue, caught.value.hint is not None) == (code, True)
    suffix = {"image_heic": "HEIC", "image_dicom": "dcm"}[code]
    files = {f"cat/{number}.png": encode_image(make_images(1, seed=number)[0]) for number in range(24)}
    for name, file in ((f"photo.{suffix}", data), ("a.zip", make_zip([*files.items(), (f"cat/photo.{suffix}", data)]))):
        report = upload(tmp_path / name, {name: file})
        assert (report.state, code in codes(report)) == ("rejected", True)


def test_a_heic_photo_is_turned_as_its_container_says():
    pytest.importorskip("pi_heif")
    assert images.read_size(HEIC) == (32, 48)
    decoded = images.read(HEIC)
    assert (decoded.pixels.shape, decoded.repairs) == ((48, 32, 3), ())
    # Turned to the right, the white edge on top is the right one, red is above and blue below.
    for place, color in (((10, 28), (240, 240, 240)), ((10, 5), (200, 40, 40)), ((40, 5), (40, 60, 200))):
        assert np.abs(decoded.pixels[place].astype(int) - color).max() <= 12, place


def test_avif_photos_are_read_with_their_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (48, 32), (200, 40, 40))
    image.paste((240, 240, 240), (0, 0, 48, 8))
    avif = save(image, "AVIF", quality=80, exif=exif)
    decoded = images.read(avif)
    assert (images.read_size(avif), decoded.pixels.shape[:2]) == ((32, 48), (48, 32))
    assert np.abs(decoded.pixels[10, 28].astype(int) - 240).max() <= 12


@pytest.mark.parametrize("format", ["HEIC", "AVIF"])
def test_photos_of_phones_have_the_limits_of_other_images(format, tmp_path):
    pytest.importorskip("pi_heif")
    data = HEIC if format == "HEIC" else save(Image.new("RGB", (48, 32), "red"), "AVIF")
    with pytest.raises(images.UnreadableImage, match="limit 1,000 in all"):
        images.read(data, max_pixels=1000)
    with pytest.raises(images.UnreadableImage):
        images.read(data[: len(data) // 2])
    reduced = images.reduce(data, max_side=24)
    assert reduced is not None
    assert reduced[0].startswith(b"\xff\xd8\xff")
    assert max(reduced[1].pixels.shape) == 24
    files = [(f"cat/{number}.png", encode_image(make_images(1, seed=number)[0])) for number in range(24)]
    report = upload(tmp_path, {"a.zip": make_zip([*files, (f"cat/photo.{format}", data)])})
    assert (report.state, report.accepted) == ("ready", 25), report.errors


def test_images_of_different_bits_are_reported(tmp_path):
    files = {}
    for number in range(24):
        values = np.linspace(number, (4000, 60_000)[number % 2], 36).reshape(6, 6)
        files[f"{number}.png"] = save(Image.fromarray(values.astype(np.uint16)))
    report = upload(tmp_path, {"a.zip": make_zip(files.items())})

    assert sample(report, "image_depths_differ")["found"] == "12, 16 bits"
    assert sample(report, "image_16_bit")["found"] == "12 bits"


def test_sixteen_bits_are_reduced_to_the_upper_eight():
    decoded = images.read(save(Image.fromarray(np.array([[0, 256, 65_535]], dtype=np.uint16))))
    assert decoded.pixels[0, :, 0].tolist() == [0, 1, 255]
    assert decoded.repairs == ("image_16_bit",)


def test_one_bit_is_black_and_white():
    decoded = images.read(save(Image.fromarray(np.array([[True, False]]))))
    assert decoded.pixels[0, :, 0].tolist() == [255, 0]
    assert decoded.repairs == ()


def test_a_gray_palette_decodes_to_gray_and_a_color_palette_to_rgb():
    gray = Image.fromarray(make_images(1)[0, :, :, 0]).convert("P")
    assert images.decode(save(gray)).shape == (6, 6, 1)
    color = Image.new("P", (4, 4), 1)
    color.putpalette([0, 0, 0, 200, 30, 0])
    assert images.decode(save(color))[0, 0].tolist() == [200, 30, 0]


def test_transparent_pixels_are_blended_with_white():
    rgba = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    rgba.putpixel((1, 0), (10, 20, 30, 255))
    decoded = images.read(save(rgba))
    assert decoded.pixels[0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert decoded.repairs == ("image_transparent",)
    gray = images.read(save(Image.new("LA", (2, 2), (0, 0))))
    assert gray.pixels.shape == (2, 2, 1)
    assert gray.pixels.min() == 255


def test_an_opaque_alpha_channel_is_no_repair():
    assert images.read(save(Image.new("RGBA", (2, 2), (1, 2, 3, 255)))).repairs == ()


def test_cmyk_becomes_rgb():
    decoded = images.read(save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert decoded.repairs == ("image_color_space",)
    red, green, blue = decoded.pixels[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_applied(format):
    sideways = Image.new("RGB", (20, 10), "black")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter clockwise when shown
    assert images.decode(save(sideways, format, exif=exif)).shape == (20, 10, 3)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_only_the_first_frame_of_an_animation_is_decoded(format):
    frames = [Image.new("RGB", (4, 4), color) for color in ("black", "white")]
    lossless = {"lossless": True} if format == "WEBP" else {}
    decoded = images.read(save(frames[0], format, save_all=True, append_images=frames[1:], **lossless))
    assert decoded.pixels.max() == 0
    assert "image_frames" in decoded.repairs


def test_a_truncated_image_is_reported_as_such():
    data = save(Image.fromarray(make_images(1, side=64, channels=3)[0]), "JPEG")
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(data[: len(data) // 2])
    assert caught.value.issue == "image_truncated"


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg></svg>", b"%PDF-1.7", bytes(100)])
def test_a_file_that_is_no_image_is_an_input_error(data):
    with pytest.raises(InputError, match="not an image") as caught:
        images.decode(data)
    assert caught.value.hint is not None
    assert "PNG" in caught.value.hint


def test_a_damaged_image_is_an_input_error():
    data = bytearray(save(Image.new("RGB", (50, 50))))
    data[40:60] = b"x" * 20
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(bytes(data))
    assert caught.value.issue in ("image_corrupt", "image_truncated")


@pytest.mark.parametrize(
    ("width", "height"), [(5001, 5000), (13_000, 13_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_huge_image_is_rejected_by_its_header(width, height):
    with pytest.raises(images.UnreadableImage) as caught:
        images.decode(make_oversized_png(width, height))
    assert caught.value.issue == "image_too_large"


def test_the_caller_sets_the_limit_on_pixels():
    with pytest.raises(InputError, match="limit 99 in all"):
        images.decode(encode_image(make_images(1, side=10)[0]), max_pixels=99)


def make_photo(width: int, height: int, *, orientation: int = 1) -> bytes:
    """Encode a JPEG of smooth colors, with an EXIF orientation."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(Image.fromarray(pixels), "JPEG", quality=90, exif=exif.tobytes())


@pytest.mark.parametrize(
    ("size", "orientation", "expected"),
    [
        ((4032, 3024), 1, (756, 1008)),
        ((3024, 4032), 1, (1008, 756)),
        ((4032, 3024), 6, (1008, 756)),
        ((1600, 1200), 1, (600, 800)),
        ((1025, 40), 1, (20, 513)),
    ],
)
def test_a_large_photo_is_reduced_by_a_power_of_two(size, orientation, expected):
    data = make_photo(*size, orientation=orientation)
    reduced = images.reduce(data, max_side=1024)
    assert reduced is not None
    file, decoded = reduced
    # Else a copy of the photo would not be recognized once it is stored.
    assert np.array_equal(images.read(file).pixels, decoded.pixels)
    assert decoded.pixels.shape[:2] == expected
    # JPEG loses little of smooth colors, and nothing is rotated a second time.
    assert np.abs(images.decode(file).astype(int) - decoded.pixels).mean() < 3
    whole = Image.fromarray(images.decode(data)).resize(expected[::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(whole).astype(int) - decoded.pixels).mean() < 3


def test_small_photos_and_other_formats_are_not_reduced():
    assert images.reduce(make_photo(1024, 768), max_side=1024) is None
    assert images.reduce(encode_image(make_images(1, side=9)[0]), max_side=4) is None


def test_a_cut_off_large_photo_is_damaged():
    with pytest.raises(images.UnreadableImage) as error:
        images.reduce(make_photo(2000, 1500)[:-3000], max_side=1024)
    assert error.value.issue == "image_truncated"


def test_large_photos_are_kept_small_and_the_report_says_so(tmp_path):
    photos = {f"{label}/{number}.jpg": make_photo(2000 + number, 1500) for label in "ab" for number in range(3)}
    report = upload(tmp_path, {"photos.zip": make_zip(photos.items())})
    assert report.state == "ready"
    assert sample(report, "image_reduced")["found"].startswith("kept at 100")
    stored = sum(file.stat().st_size for file in tmp_path.rglob("*.arrow"))
    assert 0 < stored < sum(map(len, photos.values())) / 2
    assert not list(tmp_path.rglob("*.npy"))
