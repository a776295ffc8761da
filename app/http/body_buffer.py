"""A large body on its way past the HTTP parser: the socket writes into blocks, the application gets these very blocks.

At a gigabyte a second every copy of every byte is felt, and uvicorn makes three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LARGEST_BLOCK_BYTES = 1024**2
SMALLEST_BLOCK_BYTES = 64 * 1024
"""Blocks are twice as large as what was taken last; one with less room left than half of this is full."""


class BodyBuffer:
    """What is `left` of a body of announced size once the parser has seen its beginning.

    The pieces that the application gets are byte arrays and not bytes, each its own: what searches, joins, measures or
    writes bytes does not notice.
    """

    def __init__(self, cycle: RequestResponseCycle, *, left: int) -> None:
        self.left = left
        self._cycle = cycle
        self._receive = cycle.receive
        self._block = bytearray()
        self._filled = 0
        self._size = LARGEST_BLOCK_BYTES
        cycle.receive = self.receive  # type: ignore[method-assign]  # the application asks here instead

    def room(self) -> memoryview:
        """Where the next bytes go, never past the end of the body."""
        if self._cycle.response_complete:
            self._filled = 0  # Nobody reads it any more.
        if not self._block:
            self._block = bytearray(min(self._size, self.left))
        return memoryview(self._block)[self._filled : self._filled + self.left]

    def add(self, count: int) -> None:
        """So many bytes came into what `room` gave."""
        self._filled += count
        self.left -= count
        if not self._cycle.response_complete:
            self._cycle.more_body = self.left > 0
            self._cycle.message_event.set()
            self._wait_if_full()

    async def receive(self) -> ASGIReceiveEvent:
        """As uvicorn's own, with a block where there is one; what the parser saw goes first."""
        cycle = self._cycle
        if cycle.body or cycle.response_complete or not self._filled:
            message = await self._receive()
            if message["type"] != "http.request" or not self._filled:
                return message
            if message["body"]:
                message["more_body"] = True
                self._wait_if_full()
                return message
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return {"type": "http.request", "body": self._take(), "more_body": self.left > 0}  # type: ignore[typeddict-item]

    def _take(self) -> bytearray:
        taken, self._block = self._block, bytearray()
        del taken[self._filled :]
        self._size = min(max(2 * self._filled, SMALLEST_BLOCK_BYTES), LARGEST_BLOCK_BYTES)
        self._filled = 0
        return taken

    def _wait_if_full(self) -> None:
        """No more is in memory than was asked for: a full block is taken before another is begun."""
        if self.left and len(self._block) - self._filled < SMALLEST_BLOCK_BYTES // 2:
            self._cycle.flow.pause_reading()
