"""The cache of look-ups: expiry, the grace period, and the refresh in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.ttl_cache import TtlCache


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Table:
    """Values that can be looked up, and the keys that were."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.keys: list[str] = []
        self.error: Exception | None = None
        self.prepared: list[Any] = []
        self.gate: asyncio.Event | None = None

    async def load(self, key: str) -> Any:
        self.keys.append(key)
        if self.error is not None:
            raise self.error
        return self.values[key]

    async def prepare(self, value: Any) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.prepared.append(value)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[Clock], None]:
    def run(clock: Clock) -> None:
        asyncio.run(test(clock))

    run.__name__ = test.__name__
    return run


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_loop
async def test_a_value_is_looked_up_once_until_it_expires(clock: Clock) -> None:
    table = Table(a=1)
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=10, clock=clock)
    assert [await cache.get_fresh("a"), await cache.get_fresh("a")] == [1, 1]
    clock.seconds += 1.9
    assert await cache.get_fresh("a") == 1
    assert table.keys == ["a"]
    clock.seconds += 0.1
    table.values["a"] = 2
    assert await cache.get_fresh("a") == 2
    assert table.keys == ["a", "a"]


@in_loop
async def test_peek_returns_an_expired_value_for_one_more_lifetime_and_refreshes_it_once(clock: Clock) -> None:
    table = Table(a=1)
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=10, clock=clock)
    assert cache.peek("a") is None
    await cache.get_fresh("a")
    table.values["a"] = 2
    clock.seconds += 3.9
    assert [cache.peek("a"), cache.peek("a")] == [1, 1]
    await settle()
    assert table.keys == ["a", "a"]
    assert cache.peek("a") == 2
    clock.seconds += 4
    assert cache.peek("a") is None
    await settle()
    assert table.keys == ["a", "a"]


@in_loop
async def test_a_key_without_value_is_dropped_and_an_outage_keeps_the_value(clock: Clock) -> None:
    table = Table(a=1)
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=10, ignored_errors=(OSError,), clock=clock)
    await cache.get_fresh("a")
    clock.seconds += 2
    table.error = OSError("down")
    assert cache.peek("a") == 1
    with pytest.raises(OSError, match="down"):
        await cache.get_fresh("a")
    await settle()
    assert cache.peek("a") == 1
    table.error = KeyError("a")
    with pytest.raises(KeyError):
        await cache.get_fresh("a")
    assert cache.peek("a") is None


@in_loop
async def test_a_refreshed_value_is_prepared_before_it_is_returned(clock: Clock) -> None:
    table = Table(a=1)
    table.gate = asyncio.Event()
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=10, prepare=table.prepare, clock=clock)
    await cache.get_fresh("a")
    table.values["a"] = 2
    clock.seconds += 3
    assert cache.peek("a") == 1
    await settle()
    assert cache.peek("a") == 1
    table.gate.set()
    await settle()
    assert (cache.peek("a"), table.prepared) == (2, [2])


@in_loop
async def test_a_full_cache_is_cleared_and_entries_can_be_forgotten(clock: Clock) -> None:
    table = Table(a=1, b=2, c=3)
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=2, clock=clock)
    for key in "abc":
        await cache.get_fresh(key)
    assert [cache.peek(key) for key in "abc"] == [None, None, 3]
    cache.forget("c")
    assert cache.peek("c") is None
    await cache.get_fresh("a")
    cache.clear()
    assert cache.peek("a") is None


@in_loop
async def test_a_fingerprint_is_stored_in_place_of_the_key(clock: Clock) -> None:
    table = Table(secret=1)
    cache = TtlCache(table.load, ttl_seconds=2, max_entries=2, fingerprint=hash, clock=clock)
    await cache.get_fresh("secret")
    assert cache.peek("secret") == 1
    assert list(cache._entries) == [hash("secret")]
