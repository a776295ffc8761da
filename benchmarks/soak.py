"""Stability of the web process under an hour of mixed load, by its memory.

python -m benchmarks.soak [--minutes 60]

JSON, images, texts as streams, bad inputs, clients that leave, an alias that moves, and more models than fit into the
budget. Prints resident memory minute by minute and its slope; fails where the last quarter lies more than 16 MiB above
the second, or where anybody got an answer that was not to be expected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from benchmarks.record import figure, parse_args
from benchmarks.serving.caller import Caller, calling
from tests.support import homes
from tests.support.api_process import MIB, ApiProcess
from tests.support.factories import SIDE, png, register, shades, writer

LARGE_MODELS: Final = 4
LARGE_BYTES: Final = 24 * MIB
BUDGET_BYTES: Final = 2 * LARGE_BYTES + 8 * MIB
LOOK_SECONDS: Final = 2.0
#: Less than a large model takes; more than an allocator and the page cache sway.
MAX_GROWTH_BYTES: Final = 16 * MIB
BAD: Final = (
    (b'{"inputs": [{"pixels": [[NaN]]}]}', "application/json", 422),
    (b'{"inputs": [{"pixels": [[1, 2], [3]]}]}', "application/json", 422),
    (b'{"inputs": [{"image": "bm90IGEgcGljdHVyZQ=="}]}', "application/json", 422),
    (b"[" * 20_000, "application/json", 422),
    (png(7)[:40], "image/png", 422),
    (b"x" * 100_000, "image/png", 422),
    (b"x", "application/x-unknown", 415),
)


class Soak:
    """The load and its results."""

    def __init__(self, api: ApiProcess, *, seconds: float) -> None:
        self.api = api
        self.until = time.monotonic() + seconds
        self.seen: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        #: Seconds since the start, and bytes.
        self.memory: list[tuple[float, int]] = []

    async def run(self) -> None:
        """All at once, until the time is over."""
        await self._move()
        callers = [self._json] * 4 + [self._raw] * 4 + [self._bad] * 2 + [self._large] * 2 + [self._other_version]
        loads = [self._asking(caller) for caller in callers]
        loads += [self._streaming() for _ in range(2)] + [self._leaving() for _ in range(2)] + [self._moving()]
        await asyncio.gather(self._looking(), *loads)

    async def _asking(self, ask: Callable[[Caller, random.Random], Awaitable[None]]) -> None:
        draw = random.Random(id(ask))
        while time.monotonic() < self.until:
            try:
                async with calling(self.api.port, self.api.key) as caller:
                    for _ in range(draw.randrange(1, 200)):
                        await ask(caller, draw)
                        await asyncio.sleep(draw.random() * 0.04)
                        if time.monotonic() > self.until:
                            return
                        if not caller.is_open:
                            break
            except (OSError, EOFError) as error:
                self.unexpected[f"{type(error).__name__}: {error}"] += 1

    def _note(self, kind: str, status: int, *expected: int) -> None:
        self.seen[kind] += 1
        if status not in expected:
            self.unexpected[f"{kind}: {status}"] += 1

    async def _json(self, caller: Caller, draw: random.Random) -> None:
        value = draw.randrange(256)
        body = json.dumps({"inputs": [{"pixels": [[value] * SIDE] * SIDE}] * draw.randrange(1, 9)}).encode()
        self._note("JSON", (await caller.ask("/predict/shades", body, "application/json")).status, 200)

    async def _raw(self, caller: Caller, draw: random.Random) -> None:
        self._note("pictures", (await caller.ask("/predict/shades", png(draw.randrange(256)), "image/png")).status, 200)

    async def _bad(self, caller: Caller, draw: random.Random) -> None:
        body, kind, status = draw.choice(BAD)
        self._note("bad", (await caller.ask("/predict/shades", body, kind)).status, status)

    async def _large(self, caller: Caller, draw: random.Random) -> None:
        name = f"large-{draw.randrange(LARGE_MODELS)}"
        self._note("models in turn", (await caller.ask(f"/predict/{name}", png(9), "image/png")).status, 200)
        await asyncio.sleep(0.2)

    async def _other_version(self, caller: Caller, draw: random.Random) -> None:
        reference = draw.choice(["shades@1", "shades@2", "shades@production", "shades@9", "nothing"])
        answer = await caller.ask(f"/predict/{reference}", png(9), "image/png")
        self._note("versions", answer.status, 404 if reference in ("shades@9", "nothing") else 200)

    async def _streaming(self) -> None:
        """Stream texts; every third stream is closed in the middle."""
        head = _head(self.api.key, "/predict/writer", "Accept: text/event-stream\r\nContent-Type: application/json\r\n")
        number = 0
        while time.monotonic() < self.until:
            number += 1
            body = json.dumps({"inputs": [{"prompt": "aé", "max_new_tokens": 20, "seed": number}]}).encode()
            reader, message = await asyncio.open_connection("127.0.0.1", self.api.port)
            message.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            received = await reader.readuntil(b"event: piece") if number % 3 == 0 else await reader.read()
            self._note("streams", 200 if b"event: piece" in received else 0, 200)
            message.close()
            await asyncio.sleep(0.1)

    async def _leaving(self) -> None:
        """Requests that break off in their head, in their body, or before they are answered."""
        whole = _head(self.api.key, "/predict/shades", "Content-Type: image/png\r\n")
        whole += b"Content-Length: %d\r\n\r\n" % len(png(3)) + png(3)
        draw = random.Random(1)
        while time.monotonic() < self.until:
            _, message = await asyncio.open_connection("127.0.0.1", self.api.port)
            message.write(whole[: draw.choice([20, len(whole) - 9, len(whole)])])
            await asyncio.sleep(draw.random() * 0.02)
            message.transport.abort()
            self.seen["left"] += 1
            await asyncio.sleep(0.05)

    async def _moving(self) -> None:
        while time.monotonic() < self.until:
            await self._move()
            await asyncio.sleep(1)

    async def _move(self) -> None:
        headers, path = {"Content-Type": "application/json"}, "/api/v1/models/shades/aliases/production"
        body = json.dumps({"version": 1 + self.seen["moves"] % 2}).encode()
        status, _, _ = await asyncio.to_thread(self.api.request, "PUT", path, headers=headers, body=body)
        self._note("moves", status, 200)

    async def _looking(self) -> None:
        began = message = time.monotonic()
        while time.monotonic() < self.until:
            await asyncio.sleep(LOOK_SECONDS)
            self.memory.append((time.monotonic() - began, self.api.rss_bytes()))
            if time.monotonic() - message >= 60:
                message = time.monotonic()
                minute = [size for at, size in self.memory if at > message - began - 60]
                text = f"{(message - began) / 60:5.1f} min  {statistics.median(minute) / MIB:6.1f} MiB"
                print(f"{text}  {sum(self.seen.values()):,} requests", flush=True)

    def growth_bytes(self) -> float:
        """Return the growth from the second quarter, after warm-up, to the last."""
        sizes = [size for _, size in self.memory]
        quarter = len(sizes) // 4
        return statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter : 2 * quarter])

    def slope_bytes_an_hour(self) -> float:
        """Return the slope of a line through all but the first quarter."""
        warm = self.memory[len(self.memory) // 4 :]
        return 3600 * statistics.linear_regression(*zip(*warm, strict=True)).slope


def _head(key: str, path: str, more: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{more}".encode()


def main() -> None:
    """Print the table, and end with 1 where something grew or failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parse_args(parser).minutes
    with tempfile.TemporaryDirectory(prefix="plinth-soak-") as name:
        folder = Path(name)
        api = ApiProcess(folder / "home")
        api.environment["PLINTH_PREDICT_MEMORY_BYTES"] = str(BUDGET_BYTES)
        with api:
            with homes.use_home(api.home):
                for version in range(2):
                    register(shades(folder / f"shades-{version}", bias=version), name="shades")
                for number in range(LARGE_MODELS):
                    register(
                        shades(folder / f"large-{number}", bias=number, ballast_bytes=LARGE_BYTES),
                        name=f"large-{number}",
                    )
                register(writer(folder / "writer"), name="writer")
            soak = Soak(api, seconds=60 * minutes)
            asyncio.run(soak.run())
            metrics = api.request("GET", "/metrics")[2].decode().splitlines()
    evicted = sum(float(line.split()[-1]) for line in metrics if line.startswith("plinth_model_evictions_total"))
    print(", ".join(f"{count:,} {kind}" for kind, count in soak.seen.most_common()), f"and {evicted:,.0f} evictions")
    figure("memory from the second quarter to the last", soak.growth_bytes() / MIB, unit="MiB")
    figure(
        "unexpected responses", sum(soak.unexpected.values()), unit="", aim="0", note=f"of {sum(soak.seen.values()):,}"
    )
    message = f"{soak.growth_bytes() / MIB:+.1f} MiB from the second quarter to the last"
    print(f"{message}; slope {soak.slope_bytes_an_hour() / MIB:+.1f} MiB an hour")
    for what, count in soak.unexpected.most_common(20):
        print(f"not expected: {what} ({count:,})")
    sys.exit(1 if soak.unexpected or soak.growth_bytes() > MAX_GROWTH_BYTES else 0)


if __name__ == "__main__":
    main()
