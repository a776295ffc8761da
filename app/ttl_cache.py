"""A cache with expiry and background refresh (stale-while-revalidate), for asynchronous look-ups."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

K = TypeVar("K")
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """Values by key, with a time to live and a refresh in the background.

    After its time to live, a value may be used for the same time again while it is refreshed. `load` looks a key up; it
    raises `LookupError` where there is no value, and the entry is then dropped. All methods are called on the event
    loop.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        ttl_seconds: float,
        max_entries: int,
        fingerprint: Callable[[K], Hashable] | None = None,
        prepare: Callable[[V], Awaitable[object]] | None = None,
        ignored_errors: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Configure the cache.

        Args:
            load: looks up the value of a key.
            ttl_seconds: how long a value is valid; 0 disables caching.
            max_entries: the cache is cleared when it is full.
            fingerprint: what an entry is stored under, where the key itself must not be stored (a secret).
            prepare: awaited with a new value during a refresh; the previous value is in use until it is done.
            ignored_errors: errors of `load` and `prepare` that a refresh ignores, beside `LookupError`.
            clock: seconds that only increase.
        """
        self._load = load
        self._ttl_seconds = ttl_seconds
        self._max_entries = max_entries
        self._fingerprint = fingerprint
        self._prepare = prepare
        self._clock = clock
        self._ignored_errors: tuple[type[Exception], ...] = (LookupError, *ignored_errors)
        #: Time of expiry and value.
        self._entries: dict[Hashable, tuple[float, V]] = {}
        self._refreshes: dict[Hashable, asyncio.Task[None]] = {}

    async def get_fresh(self, key: K) -> V:
        """Return the value of a key, looked up at most `ttl_seconds` ago.

        Raises what `load` raises.
        """
        slot = self._slot(key)
        entry = self._entries.get(slot)
        if entry is not None and self._clock() < entry[0]:
            return entry[1]
        try:
            value = await self._load(key)
        except LookupError:
            self._entries.pop(slot, None)
            raise
        self._entries.pop(slot, None)
        if len(self._entries) >= self._max_entries:
            self._entries.clear()
        self._entries[slot] = (self._clock() + self._ttl_seconds, value)
        return value

    def peek(self, key: K) -> V | None:
        """Return the value of a key without waiting; None where there is none.

        A value that has expired is returned for another `ttl_seconds`, while it is refreshed in the background.
        """
        entry = self._entries.get(key if self._fingerprint is None else self._fingerprint(key))
        if entry is None:
            return None
        overdue_seconds = self._clock() - entry[0]
        if overdue_seconds >= 0:
            if overdue_seconds >= self._ttl_seconds:
                return None
            self.refresh_in_background(key)
        return entry[1]

    def refresh_in_background(self, key: K) -> None:
        """Start a look-up of a key, unless one is running."""
        slot = self._slot(key)
        if slot not in self._refreshes:
            self._refreshes[slot] = task = asyncio.get_running_loop().create_task(self._refresh(key))
            task.add_done_callback(lambda _: self._refreshes.pop(slot, None))

    def forget(self, key: K) -> None:
        """Drop one entry."""
        self._entries.pop(self._slot(key), None)

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()

    def _slot(self, key: K) -> Hashable:
        return key if self._fingerprint is None else self._fingerprint(key)

    async def _refresh(self, key: K) -> None:
        with suppress(*self._ignored_errors):
            if self._prepare is not None:
                await self._prepare(await self._load(key))
            await self.get_fresh(key)
