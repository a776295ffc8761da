"""Texts that come piece by piece: whole characters, in order, and the same as were they asked for at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.serving.errors import QueueFull
from app.serving.streaming import StreamScheduler
from ml.inference.predictor import Predictor
from tests.support.factories import registered, writer

STREAM = {"Accept": "text/event-stream"}
GREEDY = {"temperature": 0, "max_new_tokens": 12}
WRITTEN = "aé世aé世"
"""Twelve bytes."""


@pytest.fixture
def model(client: TestClient, tmp_path: Path) -> str:
    registered(writer(tmp_path / "writer"), name="writer")
    return "writer"


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor.load(writer(tmp_path / "writer"))


def told(body: str) -> list[tuple[int, str, Any]]:
    blocks = [block for block in body.split("\n\n") if block and not block.startswith(":")]
    fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(int(each["id"]), each["event"], json.loads(each["data"])) for each in fields]


def test_a_text_comes_in_pieces_that_are_whole_characters(client: TestClient, model: str) -> None:
    answer = client.post(f"/predict/{model}", json={"inputs": [{"prompt": "世", **GREEDY}]}, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    events = told(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [data["text"] for _, kind, data in events if kind == "piece"] == list(WRITTEN)
    number, kind, whole = events[-1]
    assert (number, kind) == (7, "end")
    at_once = client.post(f"/predict/{model}", json={"inputs": [{"prompt": "世", **GREEDY, "seed": 1}]}).json()
    assert whole["outputs"][0]["text"] == WRITTEN == at_once["outputs"][0]["text"]
    assert whole["outputs"][0]["finish_reason"] == "length"
    assert whole.keys() == at_once.keys()


def test_a_prompt_as_it_is_can_be_streamed_too(client: TestClient, model: str) -> None:
    answer = client.post(
        f"/predict/{model}", content="世".encode(), headers={**STREAM, "Content-Type": "text/plain; charset=utf-8"}
    )
    assert told(answer.text)[-1][1] == "end"


def test_nothing_of_a_stop_string_is_streamed(client: TestClient, model: str) -> None:
    asked = {"prompt": "世", **GREEDY, "stop": "世a"}
    answer = client.post(f"/predict/{model}", json={"inputs": [asked]}, headers=STREAM)
    *pieces, (_, _, whole) = told(answer.text)
    assert "".join(data["text"] for _, _, data in pieces) == "aé" == whole["outputs"][0]["text"]
    assert whole["outputs"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"inputs": [{"prompt": "a"}, {"prompt": "b"}]}, 406),
        ({"inputs": [{"prompt": "a"}], "parameters": {"return": "embedding"}}, 406),
        ({"inputs": [{"prompt": "a", "temperature": -1}]}, 422),
        ({"inputs": [{"prompt": "a", "stop": ""}]}, 422),
    ],
)
def test_what_cannot_be_streamed_is_told_before_it_begins(
    client: TestClient, model: str, asked: dict[str, Any], status: int
) -> None:
    answer = client.post(f"/predict/{model}", json=asked, headers=STREAM)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_model_that_answers_at_once_says_so(client: TestClient, tmp_path: Path) -> None:
    from tests.support.factories import SIDE, shades

    registered(shades(tmp_path / "shades"))
    answer = client.post("/predict/shades", json={"inputs": [{"pixels": [[1] * SIDE] * SIDE}]}, headers=STREAM)
    assert answer.status_code == 406
    assert answer.json()["code"] == "not_a_stream"


async def heard(scribe: StreamScheduler, predictor: Predictor, **asked: Any) -> tuple[str, dict[str, Any]]:
    row = predictor.read({"prompt": "世", **asked}, predictor.parse_parameters({}))
    text = ""
    async for each in scribe.pieces(row):
        if isinstance(each, dict):
            return text, each
        text += each or ""
    raise AssertionError("it did not end")


def test_many_listen_at_once_and_each_hears_its_own_text(predictor: Predictor) -> None:
    async def all_of_them() -> list[tuple[str, dict[str, Any]]]:
        scribe = StreamScheduler(predictor)
        return await asyncio.gather(
            *(heard(scribe, predictor, temperature=0, max_new_tokens=count) for count in (3, 12, 1, 7))
        )

    found = asyncio.run(all_of_them())
    assert [text for text, _ in found] == [whole["text"] for _, whole in found]
    assert [whole["new_tokens"] for _, whole in found] == [3, 12, 1, 7]
    assert [text.rstrip("\ufffd") for text, _ in found] == ["aé", WRITTEN, "a", "aé世a"]


def test_who_stops_listening_stops_the_writing(predictor: Predictor) -> None:
    async def leave() -> StreamScheduler:
        scribe = StreamScheduler(predictor)
        row = predictor.read({"prompt": "世", "max_new_tokens": 4096}, predictor.parse_parameters({}))
        pieces = scribe.pieces(row)
        await anext(pieces)
        await pieces.aclose()
        for _ in range(500):
            if not scribe._is_running:
                break
            await asyncio.sleep(0.01)
        return scribe

    scribe = asyncio.run(leave())
    assert not scribe._is_running
    assert not scribe._publishers


def test_no_more_listen_than_may_and_the_next_hears_when_to_come_again(predictor: Predictor) -> None:
    async def crowd() -> None:
        scribe = StreamScheduler(predictor, max_streams=2)
        scribe.record_duration(seconds=9.0)
        row = predictor.read({"prompt": "世", "max_new_tokens": 4096}, predictor.parse_parameters({}))
        # All before the first of them is heard.
        listening = [scribe.pieces(row) for _ in range(2)]
        with pytest.raises(QueueFull) as full:
            scribe.pieces(row)
        assert (full.value.waiting, full.value.retry_seconds) == (2, 4.5)
        # Nobody ever asks for a piece, as where a client has gone by then.
        del listening
        assert not scribe._publishers
        await asyncio.sleep(0)
        assert await heard(scribe, predictor, **GREEDY)

    asyncio.run(crowd())


def test_a_failure_is_heard_by_all_and_ends_nothing_else(predictor: Predictor) -> None:
    async def fail() -> None:
        scribe = StreamScheduler(predictor)
        scribe._loop._read_batch = lambda batch: 1 / 0  # type: ignore[assignment,return-value]
        with pytest.raises(ZeroDivisionError):
            await heard(scribe, predictor, **GREEDY)
        text, _ = await heard(scribe, predictor, **GREEDY)
        assert text == WRITTEN

    asyncio.run(fail())
