"""Resolution of model references to versions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from app.serving.access import check_model
from app.serving.checkpoints import JOB_ID, find_training, serve_checkpoint
from app.serving.errors import ModelNotFound
from app.serving.types import ServedVersion, SplitRoute, WatchRoute
from app.ttl_cache import TtlCache
from ml.errors import PackageError
from store import models, traffic
from store.adaptation import watches
from store.database import reading
from store.errors import NotFound
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from sqlalchemy.orm import Session

    from store.tables import Checkpoint, Job, Model

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

        Raises `ModelNotFound`, and `ModelNotAllowed` for a model that the key of the request is not for.
        """
        check_model(reference.partition("@")[0])
        served = await self._cache.get_fresh(reference)
        check_model(served.name)
        return served

    def forget(self, reference: str) -> None:
        """Look one reference up again from now on."""
        self._cache.forget(reference)

    def clear(self) -> None:
        """Look every reference up again from now on."""
        self._cache.clear()

    async def _find(self, reference: str) -> ServedVersion:
        return await asyncio.get_running_loop().run_in_executor(self._executor, find_version, reference)


def find_version(reference: str) -> ServedVersion:
    """Look a reference up in the database.

    The id of a job means its model, or its newest checkpoint while it trains. Raises `ModelNotFound`, and `Conflict`
    for a job that has neither.
    """
    with reading() as session:
        try:
            row = models.version(session, reference)
        except NotFound as error:
            training = _find_training(session, reference)
            if training is None:
                raise ModelNotFound(reference, error.names) from error
        else:
            return replace(to_served(row), split=_find_split(session, reference), watch=_find_watch(session, row.name))
        if isinstance(training, ServedVersion):
            return training
        job, checkpoint = training
        task = (job.spec.get("task") or {}).get("name") if job.kind == JobKind.FINETUNE else None
        checkpoint_of = job.id, task, checkpoint.step, checkpoint.digest
    # Outside of the transaction: it takes seconds.
    return serve_checkpoint(*checkpoint_of)


def to_served(row: Model) -> ServedVersion:
    """Convert a row."""
    return ServedVersion(row.id, row.name, row.version, row.task, row.key, row.manifest_sha256)


def _find_split(session: Session, reference: str) -> SplitRoute | None:
    """Return the split traffic of the alias that a reference names, or None."""
    name, _, selector = reference.partition("@")
    row = None if selector.isdecimal() else traffic.find_split(session, name, selector or models.PRODUCTION)
    if row is None:
        return None
    candidate = to_served(models.version(session, f"{name}@{row.version}"))
    return SplitRoute(row.id, candidate, row.mode == traffic.SHADOW, row.weight)


def _find_watch(session: Session, name: str) -> WatchRoute | None:
    """Return the watch of a model, or None where it records nothing."""
    row = watches.find(session, name)
    return None if row is None or row.keep == watches.OFF else WatchRoute(row.id, row.fraction)


def _find_training(session: Session, reference: str) -> tuple[Job, Checkpoint] | ServedVersion | None:
    """Return the model or the newest checkpoint of a job.

    None if the reference is not the id of a job.
    """
    if not JOB_ID.fullmatch(reference):
        return None
    try:
        return find_training(session, reference)
    except NotFound:
        return None
