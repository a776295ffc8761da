"""Limits on size and time of a body while it arrives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.http.errors import ProblemError
from app.http.request_body import Body

Message = dict[str, Any]


class Client:
    """Sends pieces, then nothing more; records the response."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces = list(pieces)
        self._ends = ends
        self.messages: list[Message] = []

    async def receive(self) -> Message:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._ends}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def body(self, *, limit_bytes: int = 100, idle_seconds: float = 5) -> Body:
        return Body(
            self.receive, self.send, length=None, chunked=True, limit_bytes=limit_bytes, idle_seconds=idle_seconds
        )


def test_a_body_above_the_limit_is_rejected_while_it_arrives() -> None:
    client = Client(b"x" * 60, b"x" * 60, b"never requested")
    body = client.body(limit_bytes=100)

    async def read() -> None:
        await body.receive()
        await body.receive()

    with pytest.raises(ProblemError) as caught:
        asyncio.run(read())
    assert caught.value.status_code == 413
    assert "100 bytes" in caught.value.detail


def test_a_body_that_stops_arriving_is_rejected() -> None:
    body = Client(b"x", ends=False).body(idle_seconds=0.05)

    async def read() -> None:
        await body.receive()
        await body.receive()

    with pytest.raises(ProblemError) as caught:
        asyncio.run(read())
    assert caught.value.status_code == 408


def test_an_unread_body_is_drained_before_the_response_ends() -> None:
    client = Client(b"x" * 60, b"x" * 60)
    body = client.body()

    async def respond() -> None:
        await body.send({"type": "http.response.start", "status": 401, "headers": []})
        await body.send({"type": "http.response.body", "body": b"no"})

    asyncio.run(respond())
    assert (b"connection", b"close") in client.messages[0]["headers"]
    assert client.messages[1] == {"type": "http.response.body", "body": b"no", "more_body": True}
    assert client.messages[2] == {"type": "http.response.body", "body": b""}
    assert client._pieces == []
