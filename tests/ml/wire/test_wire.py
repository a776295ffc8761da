"""Valid images are read, and invalid ones rejected, in bounded time and memory."""

import base64
import json
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.data.files import images
from ml.errors import InputError
from ml.wire import ImageInput

PNG = images.encode_png(np.arange(64, dtype=np.uint8).reshape(8, 8, 1))


def read(sent, **parameters):
    return ImageInput.of(sent, parameters=parameters).raw()


def bomb(side):
    """A PNG whose header promises side x side pixels."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "sent",
    [
        {"image": base64.b64encode(PNG).decode()},
        {"image": "data:image/png;base64," + base64.b64encode(PNG).decode()},
        {"image": base64.encodebytes(PNG).decode()},
        {"pixels": np.arange(64).reshape(8, 8).tolist()},
        {"pixels": np.arange(64).reshape(8, 8, 1).tolist()},
        {"pixels": (np.arange(64).reshape(8, 8) + 0.2).tolist()},
        PNG,
        ImageInput(image=PNG),
    ],
    ids=["base64", "data-url", "wrapped", "pixels", "channel", "floats", "bytes", "already-read"],
)
def test_every_form_of_an_image_is_read_alike(sent):
    np.testing.assert_array_equal(read(sent)[:, :, 0], np.arange(64).reshape(8, 8))


@pytest.mark.parametrize("number", [int, float])
def test_pixels_may_be_whole_numbers_or_not(number):
    rows = np.arange(256).reshape(16, 16)
    sent = {"pixels": [[number(value) for value in row] for row in rows.tolist()]}

    for result in (read(sent), ImageInput.value_of(sent, parameters={})):
        np.testing.assert_array_equal(result, rows[:, :, None])


def test_color_pixels_keep_their_channels():
    assert read({"pixels": [[[1, 2, 3], [4, 5, 6]]]}).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "give either image or pixels"),
        ({"image": "aGk=", "pixels": [[0]]}, "give either image or pixels"),
        ({"image": "no base64!"}, "image: is not base64"),
        ({"image": "aGVsbG8"}, "image: is not base64"),
        ({"image": 5}, "image: must be a string of base64"),
        ({"image": base64.b64encode(b"hello").decode()}, "not an image"),
        ({"image": ""}, "not an image"),
        ({"image": base64.b64encode(PNG[:50]).decode()}, "the image (file is cut off|cannot be decoded)"),
        ({"pixels": [[1, 2], [3]]}, "pixels: must be rows of numbers, all of the same length"),
        ({"pixels": []}, "pixels: must be .* not 0"),
        ({"pixels": [[]]}, "pixels: must be .* not 1 x 0"),
        ({"pixels": 3}, "pixels: must be .* not one number"),
        ({"pixels": [[[1, 2]]]}, "pixels: must be .* not 1 x 1 x 2"),
        ({"pixels": [[256]]}, "pixels: must lie between 0 and 255"),
        ({"pixels": [[-1]]}, "pixels: must lie between 0 and 255"),
        ({"pixels": [[float("nan")]]}, "pixels: must lie between 0 and 255"),
        ({"pixels": [[float("inf")]]}, "pixels: must lie between 0 and 255"),
        ({"pixels": [[None]]}, "pixels: must lie between 0 and 255"),
        ({"pixels": [[10**400]]}, "pixels: must be rows of numbers"),
        ({"pixels": [["x"]]}, "pixels: must be rows of numbers"),
        ({"pixels": [[{}]]}, "pixels: must be rows of numbers"),
        ({"pixels": {"0": 1}}, "pixels: must be rows of numbers"),
        ({"pixels": [[0.1, 0.9]]}, "multiply them by 255"),
        ({"photo": "x"}, "photo: unknown field; known: image, pixels"),
        ([], "an input is a JSON object"),
        ("x", "an input is a JSON object"),
        (None, "an input is a JSON object"),
        (b"hello", "not an image"),
        (b"", "not an image"),
    ],
)
def test_the_error_says_what_is_wrong(sent, message):
    with pytest.raises(InputError, match=message):
        read(sent)


def test_every_fault_of_an_input_is_reported_at_once():
    with pytest.raises(InputError, match=r"image: is not base64; pixels: must lie .*; more: unknown field"):
        read({"image": "!", "pixels": [[999]], "more": 1})


def test_a_parameter_is_a_field_for_all_and_an_input_goes_before():
    assert read({}, pixels=[[7]]).tolist() == [[[7]]]
    assert read({"pixels": [[8]]}, pixels=[[7]]).tolist() == [[[8]]]
    with pytest.raises(InputError, match="size: unknown field"):
        read(PNG, size=3)


@pytest.mark.parametrize("side", [30_000, 2**31 - 1])
def test_an_image_that_declares_more_than_the_limit_is_refused_before_it_is_unpacked(side):
    sent = bomb(side)
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(InputError):
            read(sent)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert time.monotonic() - started < 2
    assert peak < 20_000_000


def test_deeply_nested_pixels_are_refused():
    nested = 1
    for _ in range(500):
        nested = [nested]

    with pytest.raises(InputError, match="pixels"):
        read({"pixels": nested})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.fixed_dictionaries({}, optional={"image": JSON, "pixels": JSON, "other": JSON}) | JSON)
def test_any_json_is_an_image_or_an_input_error(sent):
    try:
        image = read(sent)
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda junk: PNG[:40] + junk))
def test_any_bytes_are_an_image_or_an_input_error(sent):
    try:
        image = read(sent)
    except InputError:
        return
    assert image.ndim == 3


def test_the_drawn_example_survives_json_and_is_28_by_28():
    sent = json.loads(ImageInput.make_example().model_dump_json())

    image = read(sent)

    assert image.shape == (28, 28, 1)
    assert 0.05 < (image > 127).mean() < 0.3
