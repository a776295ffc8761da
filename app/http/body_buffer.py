"""Receives large bodies past the HTTP parser, without copies.

The socket writes into blocks, and the application gets these blocks. uvicorn copies each byte three times, which limits
uploads of a gigabyte per second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: A block is twice as large as the previous one was full, within these limits. A block is full once it has less room
#: than half of the minimum.
MAX_BLOCK_BYTES: Final = 1024**2
MIN_BLOCK_BYTES: Final = 64 * 1024


class BodyBuffer:
    """The rest of a body of known size, after the part that was parsed.

    The application receives a new bytearray per message instead of bytes; searching, joining and writing work alike.
    """

    def __init__(self, cycle: RequestResponseCycle, *, remaining_bytes: int) -> None:
        """Replace the `receive` of the cycle."""
        self.remaining_bytes = remaining_bytes
        self._cycle = cycle
        self._receive = cycle.receive
        self._block = bytearray()
        self._filled = 0
        self._size = MAX_BLOCK_BYTES
        cycle.receive = self.receive  # type: ignore[method-assign]  # the application calls this one instead

    def free_space(self) -> memoryview:
        """Return the memory for the next bytes; it ends where the body ends."""
        if self._cycle.response_complete:
            self._filled = 0  # No one reads the rest.
        if not self._block:
            self._block = bytearray(min(self._size, self.remaining_bytes))
        return memoryview(self._block)[self._filled : self._filled + self.remaining_bytes]

    def add(self, count: int) -> None:
        """Count bytes that were written to `free_space`."""
        self._filled += count
        self.remaining_bytes -= count
        if not self._cycle.response_complete:
            self._cycle.more_body = self.remaining_bytes > 0
            self._cycle.message_event.set()
            self._pause_if_full()

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next ASGI message: what went through the parser first, then blocks."""
        cycle = self._cycle
        if cycle.body or cycle.response_complete or not self._filled:
            message = await self._receive()
            if message["type"] != "http.request" or not self._filled:
                return message
            if message["body"]:
                message["more_body"] = True
                self._pause_if_full()
                return message
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        body = self._take_block()
        return {"type": "http.request", "body": body, "more_body": self.remaining_bytes > 0}  # type: ignore[typeddict-item]

    def _take_block(self) -> bytearray:
        block, self._block = self._block, bytearray()
        del block[self._filled :]
        self._size = min(max(2 * self._filled, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES)
        self._filled = 0
        return block

    def _pause_if_full(self) -> None:
        """Stop reading from the socket until the application takes the full block."""
        if self.remaining_bytes and len(self._block) - self._filled < MIN_BLOCK_BYTES // 2:
            self._cycle.flow.pause_reading()
