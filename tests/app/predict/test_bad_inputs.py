"""Invalid inputs of every kind, through the fast path and the route.

The problem names the input and the reason, in bounded time and memory, and concurrent requests are not affected.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml.data.files.audio import decode
from ml.encoders import ENCODERS
from tests.support import homes
from tests.support.api_process import ApiProcess
from tests.support.factories import SIDE, embedder, png, register, shades
from tests.support.memory_bound import WAY_NAMES, WAYS, ask, problem_text
from tests.support.ml import samples

pytestmark = pytest.mark.process

GOOD = [[7] * SIDE] * SIDE


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    api, folder = ApiProcess(new_home()), tmp_path_factory.mktemp("packages")
    clips = [decode(clip) for clip in samples.VALUES["audio"](8)]
    with homes.use_home(api.home):
        register(shades(folder / "shades"), name="shades")
        text = ENCODERS["text"].learn(samples.VALUES["text"](50), {})
        register(embedder(folder / "texts", "text", text), name="texts")
        audio = ENCODERS["log_mel"].learn(clips, {})
        register(embedder(folder / "sounds", "audio", audio), name="sounds")
    with api:
        yield api


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int, *, rows: int) -> bytes:
    """Return a PNG of `side` x `side` pixels by its header, with only `rows` rows.

    The rows compress a thousandfold.
    """
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    compressor, data = zlib.compressobj(9), b""
    for _ in range(rows):
        data += compressor.compress(bytes(1 + 3 * side))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data + compressor.flush()) + chunk(b"IEND", b"")


def wave(*, rate_hz: int = 16_000, channels: int = 1, samples: int = 1_600) -> bytes:
    """Return a WAV file with these values in its header."""
    content = bytes(2 * samples)
    data_bytes = len(content)
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * channels * 2 & 0xFFFFFFFF, channels * 2 & 0xFFFF, 16)
    size = min(36 + data_bytes, 0xFFFFFFFF)
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", data_bytes) + content


def in_json(value: Any) -> bytes:
    return json.dumps({"inputs": [value]}).encode()


def pixels(text: str) -> bytes:
    return b'{"inputs": [{"pixels": ' + text.encode() + b"}]}"


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


#: A body, or for a large one what makes it: every process of the test run collects these.
Body = bytes | Callable[[], bytes]

IMAGES: dict[str, tuple[Body, str, str]] = {
    "NaN": (pixels("[[NaN]]"), "application/json", "JSON"),
    "infinite": (pixels("[[1e999]]"), "application/json", "too large"),
    "huge number": (pixels("[[" + "9" * 5_000 + "]]"), "application/json", ""),
    "ragged": (pixels("[[1, 2], [3]]"), "application/json", "inputs.0"),
    "empty": (pixels("[]"), "application/json", "inputs.0"),
    "empty row": (pixels("[[]]"), "application/json", "inputs.0"),
    "out of range": (pixels("[[256]]"), "application/json", "255"),
    "below the range": (pixels("[[-1]]"), "application/json", "0"),
    "five channels": (pixels("[[[1, 2, 3, 4, 5]]]"), "application/json", "inputs.0"),
    "a cube of cubes": (pixels("[[[[1]]]]"), "application/json", "inputs.0"),
    "words": (pixels('[["a"]]'), "application/json", "inputs.0"),
    "nothing": (pixels("null"), "application/json", "inputs.0"),
    "both": (in_json({"pixels": GOOD, "image": encode(png(7))}), "application/json", "either"),
    "unknown field": (in_json({"pixel": GOOD}), "application/json", "known"),
    "no base64": (in_json({"image": "%%%"}), "application/json", "base64"),
    "no image": (in_json({"image": encode(b"no image")}), "application/json", "inputs.0"),
    "half an image": (png(7, side=64)[:60], "image/png", "inputs.0"),
    "empty body": (b"", "image/png", "inputs.0"),
    "bomb by its header": (partial(bomb, 50_000, rows=1), "image/png", "limit on pixels"),
    "bomb by its content": (partial(bomb, 30_000, rows=500), "image/png", "limit on pixels"),
    "bomb in JSON": (lambda: in_json({"image": encode(bomb(30_000, rows=200))}), "application/json", "limit on pixels"),
    "nested": (b"[" * 60_000, "application/json", "JSON"),
    "nested and closed": (pixels("[" * 900 + "1" + "]" * 900), "application/json", ""),
    "nested objects": (b'{"a":' * 60_000, "application/json", "JSON"),
    "no inputs": (b'{"inputs": []}', "application/json", "inputs"),
    "no JSON": (b"{", "application/json", "JSON"),
    "no UTF-8": (b'{"inputs": [{"image": "\xff"}]}', "application/json", ""),
    "half a character": (b'{"inputs": [{"image": "\\ud800"}]}', "application/json", ""),
}
AUDIO: dict[str, tuple[Body, str, str]] = {
    "truncated": (wave()[:30], "audio/wav", "inputs.0"),
    "empty": (b"", "audio/wav", "inputs.0"),
    "silence of no length": (wave(samples=0), "audio/wav", "inputs.0"),
    "rate of nothing": (wave(rate_hz=0), "audio/wav", "inputs.0"),
    "rate of one": (wave(rate_hz=1), "audio/wav", "4,000 to 192,000 Hz"),
    "rate without end": (wave(rate_hz=4_000_000_000), "audio/wav", "inputs.0"),
    "channels without end": (wave(channels=65_535), "audio/wav", "inputs.0"),
    "no audio": (b"x" * 50_000, "audio/wav", "inputs.0"),
    "MP3 of noise": (b"\xff\xfb\x90\x00" + bytes(range(256)) * 200, "audio/mpeg", "inputs.0"),
    "hours": (partial(wave, rate_hz=8_000, samples=30_000_000), "audio/wav", "limit"),
    "in JSON": (in_json({"audio": encode(wave()[:30])}), "application/json", "inputs.0"),
}
TEXTS: dict[str, tuple[Body, str, str]] = {
    "empty": (b"", "text/plain", "text"),
    "no UTF-8": (b"\xff\xfe\x00", "text/plain", "UTF-8"),
    "too long": (lambda: b"word " * 1_000_000, "text/plain", "1000000"),
    "no text": (in_json({"text": 7}), "application/json", "text"),
    "null": (in_json({"text": None}), "application/json", "text"),
    "list": (in_json({"text": ["a"]}), "application/json", "text"),
}
BAD = [
    pytest.param(model, *case, id=f"{model}-{name}")
    for model, cases in (("shades", IMAGES), ("sounds", AUDIO), ("texts", TEXTS))
    for name, case in cases.items()
]


def _content(body: Body) -> bytes:
    return body() if callable(body) else body


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize(("model", "body", "kind", "why"), BAD)
def test_an_unreadable_input_is_named_with_the_reason(
    api: ApiProcess, model: str, body: Body, kind: str, why: str, way: dict[str, str]
) -> None:
    words = problem_text(*ask(api, model, _content(body), kind, way))
    assert why.lower() in words.lower()


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize(
    ("model", "good", "bad"),
    [
        ("shades", {"pixels": GOOD}, {"pixels": [[1, 2], [3]]}),
        ("sounds", {"audio": encode(wave())}, {"audio": encode(wave()[:30])}),
        ("texts", {"text": "a quiet film"}, {"text": ""}),
    ],
)
def test_a_bad_input_among_good_ones_is_named_by_its_number(
    api: ApiProcess, model: str, good: Any, bad: Any, way: dict[str, str]
) -> None:
    body = json.dumps({"inputs": [good, good, bad, good]}).encode()
    assert "inputs.2" in problem_text(*ask(api, model, body, "application/json", way)).lower()


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize(
    "body",
    [
        lambda: b'{"inputs": [' + b"[]," * 20_000_000 + b"[]]}",
        lambda: b'{"inputs": [{"pixels": [[' + b"0.5," * 15_000_000 + b"1]]}]}",
        lambda: b'{"inputs": [{"image": "' + b"A" * 60_000_000 + b'"}]}',
        lambda: b'{"inputs": [{"image": "' + b"AA " * 20_000_000 + b'"}]}',
        lambda: b'{"inputs": [{' + b'"a":1,' * 10_000_000 + b'"b":1}]}',
        lambda: b"[" * 60_000_000,
    ],
    ids=["lists", "numbers", "base64", "base64 in pieces", "fields", "nested"],
)
def test_tens_of_megabytes_of_json_are_refused_in_bounded_time_and_memory(
    api: ApiProcess, body: Callable[[], bytes], way: dict[str, str]
) -> None:
    problem_text(*ask(api, "shades", body(), "application/json", way))


def test_a_million_unknown_fields_are_not_listed_separately(api: ApiProcess) -> None:
    for count, expected in ((150_000, "fields (150,001, limit 1,000)"), (1_000_000, "(limit 200,000)")):
        foreign = ",".join(f'"f{number}":0' for number in range(count))
        words = problem_text(
            *ask(api, "shades", b'{"inputs": [{}], ' + foreign.encode() + b"}", "application/json", {})
        )
        assert expected in words
    assert len(words) < 5_000


def test_a_hundred_megabytes_are_refused_before_they_are_read(api: ApiProcess) -> None:
    status, answer = ask(api, "shades", b'{"inputs": [' + b"1," * 50_000_000 + b"1]}", "application/json", {})
    assert status == 413
    assert "67108864" in answer["detail"]


def test_many_long_texts_cost_only_what_the_model_reads_of_them(api: ApiProcess) -> None:
    for text in ("世界" * 499_999, "word " * 199_999, "a" * 999_999):
        body = json.dumps({"inputs": [{"text": text}] * 10}, ensure_ascii=False).encode()
        status, answer = ask(api, "texts", body, "application/json", {})
        assert status == 200
        assert len(answer["outputs"]) == 10


def test_many_large_images_in_one_request_are_bounded(api: ApiProcess) -> None:
    large = encode(png(7, side=5_000))
    words = problem_text(
        *ask(api, "shades", json.dumps({"inputs": [{"image": large}] * 64}).encode(), "application/json", {})
    )
    assert "decode to over 256 MiB" in words


def test_neighbors_of_bad_inputs_are_answered(api: ApiProcess) -> None:
    """Concurrent requests, so that they share batches."""

    def one(number: int) -> tuple[int, int]:
        way = WAYS[number % 2]
        if number % 3:
            body, expected = json.dumps({"inputs": [{"pixels": [[number % 256] * SIDE] * SIDE}]}).encode(), 200
        else:
            body, expected = _content(list(IMAGES.values())[number % len(IMAGES)][0]), 422
        headers = {"Content-Type": "application/json", **way}
        return api.request("POST", "/predict/shades", headers=headers, body=body)[0], expected

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(300)))
    assert all(status == expected for status, expected in statuses)
