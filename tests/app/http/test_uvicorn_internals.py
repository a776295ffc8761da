"""Internals of uvicorn that `app.http.protocol` and `app.predict.fast_path` rely on, in a real server.

uvicorn promises none of them. Each test names one; when it fails after an upgrade, the fast path must be adapted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Application:
    """Responds to each request once it is released, and counts those that have started."""

    def __init__(self) -> None:
        self.started = 0
        self.release = asyncio.Event()
        self.release.set()
        self.messages: list[Any] = []
        self.reads_body = False

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self.started += 1
        await self.release.wait()
        while self.reads_body:
            self.messages.append(await receive())
            if not self.messages[-1].get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serve(
    application: Application, **options: Any
) -> AsyncIterator[tuple[HttpToolsProtocol, Reader, Writer, uvicorn.Server]]:
    """Start a server and connect to it; yield both sides of the connection."""
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: bool(server.server_state.connections))
    (protocol,) = server.server_state.connections
    assert isinstance(protocol, HttpToolsProtocol)
    try:
        yield protocol, reader, writer, server
    finally:
        writer.close()
        application.release.set()
        server.should_exit = True
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def response(reader: Reader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 10)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_cycle_is_the_request_in_progress_and_says_when_it_is_complete() -> None:
    application = Application()
    application.release.clear()
    async with serve(application) as (protocol, reader, writer, _):
        assert protocol.cycle is None
        writer.write(GET)
        await until(lambda: application.started == 1)
        cycle = protocol.cycle
        assert isinstance(cycle, RequestResponseCycle)
        assert (cycle.response_complete, cycle.keep_alive, cycle.disconnected) == (False, True, False)
        application.release.set()
        await response(reader)
        assert protocol.cycle is cycle
        assert cycle.response_complete


@in_loop
async def test_connection_lost_marks_any_cycle_as_disconnected_and_wakes_it() -> None:
    class Cycle:
        """A cycle with the attributes of `FastPathCycle`."""

        response_complete = disconnected = False
        keep_alive = True
        wakes = 0

        @property
        def message_event(self) -> Cycle:
            return self

        def set(self) -> None:
            self.wakes += 1

    async with serve(Application()) as (protocol, _, writer, _server):
        cycle: Any = Cycle()
        protocol.cycle = cycle
        writer.close()
        await until(lambda: cycle.wakes > 0)
        assert cycle.disconnected


@in_loop
async def test_shutdown_asks_the_cycle_to_close_the_connection_after_its_response() -> None:
    application = Application()
    application.release.clear()
    async with serve(application) as (protocol, reader, writer, _):
        writer.write(GET)
        await until(lambda: application.started == 1)
        protocol.shutdown()
        assert protocol.cycle.keep_alive is False
        application.release.set()
        assert b"connection: close" in await response(reader)
        assert await reader.read() == b""


@in_loop
async def test_pipeline_holds_requests_that_on_response_complete_starts() -> None:
    application = Application()
    application.release.clear()
    async with serve(application) as (protocol, reader, writer, _):
        writer.write(GET + GET)
        await until(lambda: len(protocol.pipeline) == 1)
        assert application.started == 1
        cycle, _ = protocol.pipeline[0]
        assert cycle is protocol.cycle
        application.release.set()
        await response(reader)
        await response(reader)
        assert (application.started, len(protocol.pipeline)) == (2, 0)


@in_loop
async def test_on_response_complete_counts_the_response_resumes_reading_and_sets_the_idle_timer() -> None:
    async with serve(Application()) as (protocol, reader, writer, server):
        writer.write(GET)
        await response(reader)
        await until(lambda: protocol.timeout_keep_alive_task is not None)
        count, timer = server.server_state.total_requests, protocol.timeout_keep_alive_task
        protocol.flow.pause_reading()
        protocol.on_response_complete()
        assert server.server_state.total_requests == count + 1
        assert protocol.flow.read_paused is False
        assert protocol.timeout_keep_alive_task is not timer


@in_loop
async def test_flow_pauses_the_transport_and_knows_whether_the_client_reads() -> None:
    async with serve(Application()) as (protocol, _reader, _writer, _server):
        assert isinstance(protocol.flow, FlowControl)
        protocol.flow.pause_reading()
        assert (protocol.flow.read_paused, protocol.transport.is_reading()) == (True, False)
        protocol.flow.resume_reading()
        assert (protocol.flow.read_paused, protocol.transport.is_reading()) == (False, True)
        assert protocol.flow.write_paused is False
        protocol.pause_writing()
        assert protocol.flow.write_paused is True
        protocol.resume_writing()
        assert protocol.flow.write_paused is False


@in_loop
async def test_default_headers_are_a_new_list_when_the_date_changes() -> None:
    async with serve(Application(), server_header=False) as (protocol, _reader, _writer, server):
        state = protocol.server_state
        assert state is server.server_state
        await until(lambda: bool(state.default_headers))
        headers = state.default_headers
        assert [name for name, _ in headers] == [b"date"]
        await until(lambda: state.default_headers is not headers)
        assert state.default_headers != headers


@in_loop
async def test_an_idle_connection_is_closed_by_the_handler_of_one_timer() -> None:
    async with serve(Application(), timeout_keep_alive=1) as (protocol, reader, writer, _):
        writer.write(GET)
        await response(reader)
        await until(lambda: protocol.timeout_keep_alive_task is not None)
        timer = protocol.timeout_keep_alive_task
        assert timer is not None
        assert protocol.timeout_keep_alive == 1
        assert 0.5 < timer.when() - asyncio.get_running_loop().time() <= 1
        protocol._unset_keepalive_if_required()
        assert timer.cancelled()
        assert protocol.timeout_keep_alive_task is None
        protocol.timeout_keep_alive_handler()
        assert await reader.read() == b""


@in_loop
async def test_data_received_takes_the_bytes_of_a_request_and_cancels_the_idle_timer() -> None:
    async with serve(Application()) as (protocol, reader, writer, _):
        writer.write(GET)
        await response(reader)
        await until(lambda: protocol.timeout_keep_alive_task is not None)
        protocol.data_received(GET)
        assert protocol.timeout_keep_alive_task is None
        await response(reader)


@in_loop
async def test_the_body_of_a_cycle_is_added_to_measured_and_read_once() -> None:
    application = Application()
    application.reads_body = True
    application.release.clear()
    async with serve(application) as (protocol, reader, writer, _):
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n")
        await until(lambda: application.started == 1)
        # As `DeadlineProtocol.on_body` and `BodyBuffer.add` do.
        protocol.cycle.body = b"abc"  # type: ignore[assignment]
        protocol.cycle.body += b"defg"
        protocol.cycle.more_body = False
        protocol.cycle.message_event.set()
        application.release.set()
        await response(reader)
    assert application.messages == [{"type": "http.request", "body": b"abcdefg", "more_body": False}]


@in_loop
async def test_a_new_parser_reads_the_next_request_of_a_connection() -> None:
    async with serve(Application()) as (protocol, reader, writer, _):
        writer.write(GET)
        await response(reader)
        protocol.parser = httptools.HttpRequestParser(protocol)
        writer.write(GET)
        await response(reader)


@in_loop
async def test_a_response_without_length_is_chunked_unless_the_cycle_says_otherwise() -> None:
    class Unsized(Application):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    async with serve(Unsized()) as (protocol, reader, _writer, _):
        protocol.data_received(b"GET / HTTP/1.0\r\n\r\n")
        # As `app.http.protocol` does for HTTP/1.0.
        protocol.cycle.chunked_encoding, protocol.cycle.expected_content_length = False, 2
        assert b"transfer-encoding" not in await asyncio.wait_for(reader.read(), 10)


def test_a_body_above_the_high_water_limit_pauses_reading() -> None:
    assert HIGH_WATER_LIMIT == 64 * 1024


@in_loop
async def test_the_server_calls_on_tick_and_lists_its_connections() -> None:
    ticks: list[int] = []

    class Ticking(uvicorn.Server):
        async def on_tick(self, counter: int) -> bool:
            ticks.append(counter)
            return await super().on_tick(counter)

    config = uvicorn.Config(Application(), host="127.0.0.1", port=0, lifespan="off", log_config=None)
    server = Ticking(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: len(ticks) >= 3)
    assert ticks[:3] == [0, 1, 2]
    assert server.server_state.connections == set()
    server.should_exit = True
    await task
