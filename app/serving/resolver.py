"""Resolution of model references to versions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.serving.errors import ModelNotFound
from app.serving.types import ServedVersion
from app.ttl_cache import TtlCache
from ml.errors import PackageError
from store import models
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

MAX_CACHED_NAMES = 10_000


class NameResolver:
    """Versions by reference: `name`, `name@3` or `name@alias`; cached for `ttl_seconds`.

    When a name refers to another version than before, `prepare` is awaited before that version is returned by a
    refresh in the background; until then requests get the previous one.
    """

    def __init__(
        self, executor: Executor, *, ttl_seconds: float, prepare: Callable[[ServedVersion], Awaitable[object]]
    ) -> None:
        """`executor` runs the look-ups in the database."""
        self._executor = executor
        self._cache = TtlCache(
            self._find,
            ttl_seconds=ttl_seconds,
            max_entries=MAX_CACHED_NAMES,
            prepare=prepare,
            ignored_errors=(PackageError,),
        )
        #: The version of a reference without waiting, or None; see `TtlCache.peek`.
        self.peek = self._cache.peek

    async def resolve(self, reference: str) -> ServedVersion:
        """Return the version of a reference, looked up at most `ttl_seconds` ago.

        Raises `ModelNotFound`.
        """
        return await self._cache.get_fresh(reference)

    def forget(self, reference: str) -> None:
        """Look one reference up again from now on."""
        self._cache.forget(reference)

    def clear(self) -> None:
        """Look every reference up again from now on."""
        self._cache.clear()

    async def _find(self, reference: str) -> ServedVersion:
        return await asyncio.get_running_loop().run_in_executor(self._executor, find_version, reference)


def find_version(reference: str) -> ServedVersion:
    """Look a reference up in the database; raises `ModelNotFound`."""
    with reading() as session:
        try:
            row = models.version(session, reference)
        except NotFound as error:
            raise ModelNotFound(reference, error.known) from error
        return ServedVersion(row.id, row.name, row.version, row.task, row.key, row.manifest_sha256)
