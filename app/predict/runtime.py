"""What is loaded. A name is resolved from memory, a package is loaded when first asked for, and the least recently used
leaves when memory is short.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from app.errors import Refused
from store import models
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from app.measures import Measures
    from app.settings import AppSettings
    from ml.predictor import Predictor
    from store.blobs import Blobs

_log = structlog.get_logger("plinth.predict")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """One version of a model, as far as serving it goes."""

    id: str
    name: str
    version: int
    task: str | None
    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Outputs in the order of the inputs."""

    served: Served
    outputs: list[dict[str, Any]]


class Runtime:
    """Predicts with any registered model. Everything but the model itself runs on the event loop."""

    def __init__(self, *, blobs: Callable[[], Blobs], cache: Path, settings: AppSettings, measures: Measures) -> None:
        self._blobs = blobs
        self._cache = cache
        self._settings = settings
        self._measures = measures
        self._resolved: dict[str, tuple[float, Served]] = {}
        self._loaded: OrderedDict[str, tuple[Served, Predictor]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Predictor]] = {}
        self._pool = ThreadPoolExecutor(settings.predict_threads, thread_name_prefix="predict")
        self._waiting = 0

    async def predict(self, reference: str, inputs: Sequence[Any], *, parameters: Mapping[str, Any]) -> Answer:
        """Raises `Refused` 404 and 429 (too many wait), and `InputError` with the index of the bad input."""
        served = await self.resolve(reference)
        predictor = await self.load(served)
        if self._waiting >= self._settings.predict_queue_length:
            detail = f"{self._waiting} requests are waiting for a model. Try again in a moment."
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "queue_full", detail, headers={"Retry-After": "1"})
        started = time.perf_counter()
        self._waiting += 1
        try:
            outputs = await self._in_pool(lambda: predictor.predict(inputs, parameters=parameters))
        finally:
            self._waiting -= 1
        self._measures.prediction(model=served.name, inputs=len(inputs), seconds=time.perf_counter() - started)
        return Answer(served, outputs)

    async def signature(self, served: Served) -> dict[str, Any]:
        """Schemas of input and output, and an example with the answer of this very model."""
        predictor = await self.load(served)
        return await self._in_pool(predictor.signature)

    async def resolve(self, reference: str) -> Served:
        """Which version a reference means now, at most `predict_cache_seconds` ago."""
        until, served = self._resolved.get(reference, (0.0, None))
        if served is not None and time.monotonic() < until:
            return served
        try:
            served = await self._in_pool(lambda: _find(reference))
        except Refused:
            self._resolved.pop(reference, None)
            raise
        if len(self._resolved) > 10_000:
            self._resolved.clear()
        self._resolved[reference] = (time.monotonic() + self._settings.predict_cache_seconds, served)
        return served

    async def load(self, served: Served) -> Predictor:
        """The predictor of a version, from memory or else from its package; many at once load it once."""
        if served.id in self._loaded:
            self._loaded.move_to_end(served.id)
            return self._loaded[served.id][1]
        task = self._loading.get(served.id)
        if task is None:
            task = self._loading[served.id] = asyncio.create_task(self._load(served))
            task.add_done_callback(lambda _: self._loading.pop(served.id, None))
        return await asyncio.shield(task)

    def loaded(self) -> list[Served]:
        """What is in memory, the least recently used first."""
        return [served for served, _ in self._loaded.values()]

    def forget(self) -> None:
        """Look every name up again from now on."""
        self._resolved.clear()

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _load(self, served: Served) -> Predictor:
        started = time.perf_counter()
        predictor = await self._in_pool(lambda: _open(self._blobs(), served, self._cache))
        self._make_room(served.bytes)
        self._loaded[served.id] = (served, predictor)
        self._measure()
        _log.info("loaded", model=served.name, version=served.version, seconds=round(time.perf_counter() - started, 3))
        return predictor

    def _make_room(self, needed_bytes: int) -> None:
        while self._loaded and self._total_bytes() + needed_bytes > self._settings.predict_memory_bytes:
            _, (leaving, _) = self._loaded.popitem(last=False)
            _log.info("unloaded", model=leaving.name, version=leaving.version)

    def _total_bytes(self) -> int:
        return sum(served.bytes for served, _ in self._loaded.values())

    def _measure(self) -> None:
        self._measures.loaded(models=len(self._loaded), total_bytes=self._total_bytes())

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _find(reference: str) -> Served:
    with reading() as session:
        try:
            row = models.version(session, reference)
        except NotFound as error:
            known = ", ".join(models.names(session)) or "none yet; a job makes one"
            raise Refused(404, "not_found", f"There is no model {reference!r}. Known: {known}.") from error
        return Served(row.id, row.name, row.version, row.task, row.key, row.bytes)


def _open(blobs: Blobs, served: Served, cache: Path) -> Predictor:
    # Imported when first needed: ONNX Runtime and numpy are most of what this process would otherwise weigh.
    from ml.package import ModelPackage
    from ml.predictor import Predictor

    return Predictor.load(ModelPackage.open(blobs.fetch_tree(served.key, cache / served.id)))
