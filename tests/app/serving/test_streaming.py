"""Streamed texts: whole characters, in order, and the same text as without streaming."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.serving.errors import QueueFull
from app.serving.streaming import StreamScheduler
from ml.inference.predictor import Predictor
from tests.support.factories import register, writer

STREAM = {"Accept": "text/event-stream"}
GREEDY = {"temperature": 0, "max_new_tokens": 12}
#: Twelve bytes.
GENERATED = "aé世aé世"


@pytest.fixture
def model(client: TestClient, tmp_path: Path) -> str:
    register(writer(tmp_path / "writer"), name="writer")
    return "writer"


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor.load(writer(tmp_path / "writer"))


def parse_events(body: str) -> list[tuple[int, str, Any]]:
    blocks = [block for block in body.split("\n\n") if block and not block.startswith(":")]
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(int(event["id"]), event["event"], json.loads(event["data"])) for event in events]


def test_a_text_is_streamed_in_whole_characters(client: TestClient, model: str) -> None:
    answer = client.post(f"/predict/{model}", json={"inputs": [{"prompt": "世", **GREEDY}]}, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    events = parse_events(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [data["text"] for _, kind, data in events if kind == "piece"] == list(GENERATED)
    number, kind, whole = events[-1]
    assert (number, kind) == (7, "end")
    at_once = client.post(f"/predict/{model}", json={"inputs": [{"prompt": "世", **GREEDY, "seed": 1}]}).json()
    assert whole["outputs"][0]["text"] == GENERATED == at_once["outputs"][0]["text"]
    assert whole["outputs"][0]["finish_reason"] == "length"
    assert whole.keys() == at_once.keys()


def test_a_prompt_as_it_is_can_be_streamed_too(client: TestClient, model: str) -> None:
    answer = client.post(
        f"/predict/{model}", content="世".encode(), headers={**STREAM, "Content-Type": "text/plain; charset=utf-8"}
    )
    assert parse_events(answer.text)[-1][1] == "end"


def test_no_part_of_a_stop_string_is_streamed(client: TestClient, model: str) -> None:
    raw_input = {"prompt": "世", **GREEDY, "stop": "世a"}
    answer = client.post(f"/predict/{model}", json={"inputs": [raw_input]}, headers=STREAM)
    *pieces, (_, _, whole) = parse_events(answer.text)
    assert "".join(data["text"] for _, _, data in pieces) == "aé" == whole["outputs"][0]["text"]
    assert whole["outputs"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"inputs": [{"prompt": "a"}, {"prompt": "b"}]}, 406),
        ({"inputs": [{"prompt": "a"}], "parameters": {"return": "embedding"}}, 406),
        ({"inputs": [{"prompt": "a", "temperature": -1}]}, 422),
        ({"inputs": [{"prompt": "a", "stop": ""}]}, 422),
    ],
)
def test_an_answer_that_cannot_be_streamed_is_refused_before_the_stream_starts(
    client: TestClient, model: str, payload: dict[str, Any], status: int
) -> None:
    answer = client.post(f"/predict/{model}", json=payload, headers=STREAM)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_model_that_does_not_stream_is_refused(client: TestClient, tmp_path: Path) -> None:
    from tests.support.factories import SIDE, shades

    register(shades(tmp_path / "shades"))
    answer = client.post("/predict/shades", json={"inputs": [{"pixels": [[1] * SIDE] * SIDE}]}, headers=STREAM)
    assert answer.status_code == 406
    assert answer.json()["code"] == "not_a_stream"


async def read_stream(scheduler: StreamScheduler, predictor: Predictor, **fields: Any) -> tuple[str, dict[str, Any]]:
    row = predictor.read({"prompt": "世", **fields}, predictor.parse_parameters({}))
    text = ""
    async for event in scheduler.pieces(row):
        if isinstance(event, dict):
            return text, event
        text += event or ""
    raise AssertionError("it did not end")


def test_many_streams_at_once_get_their_own_texts(predictor: Predictor) -> None:
    async def read_all() -> list[tuple[str, dict[str, Any]]]:
        scheduler = StreamScheduler(predictor)
        return await asyncio.gather(
            *(read_stream(scheduler, predictor, temperature=0, max_new_tokens=count) for count in (3, 12, 1, 7))
        )

    texts = asyncio.run(read_all())
    assert [text for text, _ in texts] == [whole["text"] for _, whole in texts]
    assert [whole["new_tokens"] for _, whole in texts] == [3, 12, 1, 7]
    assert [text.rstrip("\ufffd") for text, _ in texts] == ["aé", GENERATED, "a", "aé世a"]


def test_closing_a_stream_stops_its_generation(predictor: Predictor) -> None:
    async def leave() -> StreamScheduler:
        scheduler = StreamScheduler(predictor)
        row = predictor.read({"prompt": "世", "max_new_tokens": 4096}, predictor.parse_parameters({}))
        pieces = scheduler.pieces(row)
        await anext(pieces)
        await pieces.aclose()
        for _ in range(500):
            if not scheduler._is_running:
                break
            await asyncio.sleep(0.01)
        return scheduler

    scheduler = asyncio.run(leave())
    assert not scheduler._is_running
    assert not scheduler._publishers


def test_a_closed_scheduler_ends_its_thread_in_the_middle_of_a_text(predictor: Predictor) -> None:
    async def run() -> None:
        scheduler = StreamScheduler(predictor)
        row = predictor.read({"prompt": "世", "max_new_tokens": 4096}, predictor.parse_parameters({}))
        pieces = scheduler.pieces(row)
        assert await anext(pieces)
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "generate")
        assert not thread.daemon, "a daemon within ONNX Runtime aborts the process at its end"
        scheduler.close()
        await asyncio.to_thread(thread.join, 30)
        assert not thread.is_alive()

    asyncio.run(run())


def test_the_number_of_streams_is_limited_and_the_error_says_when_to_retry(predictor: Predictor) -> None:
    async def crowd() -> None:
        scheduler = StreamScheduler(predictor, max_streams=2)
        scheduler.record_duration(seconds=9.0)
        row = predictor.read({"prompt": "世", "max_new_tokens": 4096}, predictor.parse_parameters({}))
        # All are opened before the first piece is read.
        streams = [scheduler.pieces(row) for _ in range(2)]
        with pytest.raises(QueueFull) as full:
            scheduler.pieces(row)
        assert (full.value.waiting, full.value.retry_seconds) == (2, 4.5)
        # No piece is ever read, as when a client has disconnected by then.
        del streams
        assert not scheduler._publishers
        await asyncio.sleep(0)
        assert await read_stream(scheduler, predictor, **GREEDY)

    asyncio.run(crowd())


def test_a_failure_reaches_its_streams_and_ends_no_later_one(predictor: Predictor) -> None:
    async def fail() -> None:
        scheduler = StreamScheduler(predictor)
        scheduler._loop._read_batch = lambda batch: 1 / 0  # type: ignore[assignment,return-value]
        with pytest.raises(ZeroDivisionError):
            await read_stream(scheduler, predictor, **GREEDY)
        text, _ = await read_stream(scheduler, predictor, **GREEDY)
        assert text == GENERATED

    asyncio.run(fail())
