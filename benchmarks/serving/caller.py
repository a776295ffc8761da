"""Client that sends requests over one connection at a given rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body as JSON (None if it is not JSON) and waiting time."""

    status: int
    body: Any
    seconds: float


class Caller:
    """One connection that is kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader = reader
        self._writer = writer
        self._key = key
        #: Until the service says that it closes the connection.
        self.is_open = True

    async def ask(self, path: str, body: bytes, content_type: str) -> Response:
        """POST, and the whole answer; raises `OSError` or `EOFError` where the connection ends."""
        began = time.perf_counter()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        answer = await self._reader.readexactly(int(headers["content-length"]))
        seconds = time.perf_counter() - began
        self.is_open = headers.get("connection") != "close"
        is_json = headers.get("content-type", "").startswith("application/")
        return Response(int(lines[0].split()[1]), json.loads(answer) if is_json else None, seconds)


@asynccontextmanager
async def calling(port: int, key: str) -> AsyncIterator[Caller]:
    """A caller for as long as the context lasts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Caller(reader, writer, key)
    finally:
        writer.close()


def ask_in_turn(port: int, key: str, path: str, bodies: Sequence[bytes]) -> list[Response]:
    """Responses to JSON bodies, one after another over one connection; each is 200."""

    async def ask_all() -> list[Response]:
        async with calling(port, key) as caller:
            return [await caller.ask(path, body, "application/json") for body in bodies]

    responses = asyncio.run(ask_all())
    failed = next((response for response in responses if response.status != HTTPStatus.OK), None)
    assert failed is None, f"{path} answered {failed}"
    return responses
