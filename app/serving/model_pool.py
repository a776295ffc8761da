"""What is loaded. A name is resolved from memory, a package is loaded when first asked for, and the least recently used
leaves when memory is short.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import math
import time
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import structlog
from sqlalchemy.exc import DBAPIError

from app.http.errors import ProblemError
from app.metrics.models import LoadedModelInfo
from app.serving.batcher import Batcher, DeadlineExceeded, PendingRequest, QueueFull, SharedQueue
from app.serving.streaming import StreamScheduler
from ml.errors import DamagedPackage, PackageError, unknown
from store import models
from store.database import reading
from store.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from app.metrics.models import ModelRecord
    from app.metrics.registry import MetricsRegistry
    from app.serving.package_cache import PackageCache
    from app.settings import AppSettings
    from ml.data.rows import Row
    from ml.inference.predictor import ParsedRequest, Predictor
    from ml.package.package import ModelPackage

_log = structlog.get_logger("plinth.predict")

T = TypeVar("T")

GIVE_BACK_SECONDS = 0.05
"""After which a model that nobody holds any more is surely freed."""
READERS = {"text": "tokenizers", "audio": "soundfile"}
"""What an input of a slot is read with."""
WARM_UP_MODELS = 100
"""So many are looked at for what they read."""
WARM_UP_SECONDS = 0.2
"""After the start: whoever waits for this process to be ready comes first."""
MOST_ANSWER_BYTES = 256 * 1024**2
"""Of the pictures and recordings in one answer, as base64: a thousand inputs of a few words can ask for gigabytes."""
SMALL_BYTES = 64 * 1024
"""Inputs that weigh less are read on the event loop: to hand them to a thread would take longer."""


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version of a model, as far as serving it goes."""

    id: str
    name: str
    version: int
    task: str | None
    key: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A version in memory, and the queue before it."""

    served: ServedVersion
    predictor: Predictor
    batcher: Batcher
    files: Mapping[str, int]
    """What it answers from: bytes by sha256."""
    stream_scheduler: StreamScheduler | None
    """Where answers can be had piece by piece."""
    record: ModelRecord
    """Of its name."""

    @property
    def bytes(self) -> int:
        """Of its files, be they its own or others' as well."""
        return sum(self.files.values())


@dataclass(frozen=True, slots=True)
class Answer:
    """Outputs in the order of the inputs."""

    served: ServedVersion
    outputs: list[dict[str, Any]]


class PredictService:
    """Predicts with any registered model. Everything but the model itself runs on the event loop."""

    def __init__(self, *, packages: PackageCache, settings: AppSettings, measures: MetricsRegistry) -> None:
        self._packages = packages
        self._settings = settings
        self._measures = measures
        self._resolved: dict[str, tuple[float, ServedVersion]] = {}
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._lines: WeakValueDictionary[Any, SharedQueue] = WeakValueDictionary()
        """By what makes models alike."""
        self._loading: dict[str, asyncio.Task[LoadedModel]] = {}
        self._coming: list[Mapping[str, int]] = []
        """Files of what is being loaded."""
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._pool = ThreadPoolExecutor(settings.predict_threads, thread_name_prefix="read")
        self._loader = ThreadPoolExecutor(settings.predict_threads, thread_name_prefix="load")
        """Whoever asks a model that is in memory must not wait for one that comes from far away."""
        measures.by_model.in_memory = self._in_memory

    async def predict(
        self, reference: str, inputs: Sequence[Any], *, parameters: Mapping[str, Any], until: float | None = None
    ) -> Answer:
        """Raises `ProblemError` 404, 429 (too many wait) and 504 (`until`, monotonic, is over), and `InputError`."""
        began = time.perf_counter()
        loaded = await self._meant(reference)
        asked = loaded.predictor.asked(parameters)
        outputs: list[dict[str, Any]] = []
        # Read in full before any of it is run: a bad input at the end must not have cost the others' work.
        told_bytes = 0
        for rows in await self._read(loaded.predictor, inputs, asked):
            answered = await self._answer(loaded, rows, asked, until)
            told_bytes += _files_bytes(answered)
            outputs += answered
            if told_bytes > MOST_ANSWER_BYTES:
                raise _too_much(len(outputs), len(inputs))
        loaded.record.latency.note(time.perf_counter() - began)
        return Answer(loaded.served, outputs)

    async def stream(
        self, reference: str, inputs: Sequence[Any], *, parameters: Mapping[str, Any]
    ) -> tuple[ServedVersion, AsyncIterator[str | dict[str, Any] | None]]:
        """Stream the output of the only input; raises `ProblemError` 406 if the model does not stream."""
        loaded = await self._meant(reference)
        asked = loaded.predictor.asked(parameters)
        if loaded.stream_scheduler is None or asked.wanted is not None or len(inputs) != 1:
            detail = "Only the text of one input comes piece by piece. Ask with 'Accept: application/json'."
            raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, "not_a_stream", detail)
        ((row,),) = await self._read(loaded.predictor, inputs, asked)
        return loaded.served, loaded.stream_scheduler.pieces(row)

    async def _meant(self, reference: str) -> LoadedModel:
        """What a reference means, in memory."""
        served = await self.resolve(reference)
        try:
            return await self.load(served)
        except PackageError:
            # It may have been deleted since it was looked up.
            self._resolved.pop(reference, None)
            now = await self.resolve(reference)
            if now == served:
                raise
            return await self.load(now)

    def peek(self, reference: str) -> LoadedModel | None:
        """The model, if the name was looked up of late and it is loaded: nothing has to be waited for."""
        until, served = self._resolved.get(reference, (0.0, None))
        now = time.monotonic()
        if served is None or now >= until + self._settings.predict_cache_seconds:
            return None
        if now >= until:
            self._look_up_again(reference)
        loaded = self._loaded.get(served.id)
        if loaded is not None:
            self._loaded.move_to_end(served.id)
            loaded.record.hits += 1
        return loaded

    def _look_up_again(self, reference: str) -> None:
        """Once, and nobody waits for it: what was found last is trusted as long again."""
        if reference in self._looking:
            return
        task = asyncio.get_running_loop().create_task(self._renew(reference))
        self._looking[reference] = task
        task.add_done_callback(lambda _: self._looking.pop(reference, None))

    async def _renew(self, reference: str) -> None:
        # A version that takes over is loaded before it is told; who asks meanwhile gets the one before.
        with suppress(ProblemError, PackageError):
            await self.load(await self._found(reference))
            await self.resolve(reference)

    async def _read(self, predictor: Predictor, inputs: Sequence[Any], asked: ParsedRequest) -> list[list[Row]]:
        def read() -> list[list[Row]]:
            return list(predictor.batches(inputs, asked))

        small = len(inputs) == 1 and _weight(inputs[0]) <= SMALL_BYTES
        return read() if small else await self._in_pool(read)

    async def _answer(
        self, loaded: LoadedModel, rows: Sequence[Row], asked: ParsedRequest, until: float | None
    ) -> list[dict[str, Any]]:
        future: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()

        def done(outputs: list[dict[str, Any]] | None, error: Exception | None) -> None:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(outputs or [])

        try:
            loaded.batcher.submit(PendingRequest(rows, asked.wanted, done, gone=future.done, until=until))
            return await future
        except QueueFull as full:
            raise queue_full(full) from None
        except DeadlineExceeded:
            detail = "The request's deadline was over before its turn came. Allow it more time, or try again."
            raise ProblemError(HTTPStatus.GATEWAY_TIMEOUT, "deadline_exceeded", detail) from None

    async def signature(self, served: ServedVersion) -> dict[str, Any]:
        """Schemas of input and output, and an example with the answer of this very model."""
        loaded = await self.load(served)
        return await self._in_pool(loaded.predictor.signature)

    async def resolve(self, reference: str) -> ServedVersion:
        """Which version a reference means now, at most `predict_cache_seconds` ago."""
        until, served = self._resolved.get(reference, (0.0, None))
        if served is not None and time.monotonic() < until:
            return served
        try:
            served = await self._found(reference)
        except ProblemError:
            self._resolved.pop(reference, None)
            raise
        if len(self._resolved) > 10_000:
            self._resolved.clear()
        self._resolved[reference] = (time.monotonic() + self._settings.predict_cache_seconds, served)
        return served

    async def _found(self, reference: str) -> ServedVersion:
        return await self._in_pool(lambda: find_version(reference))

    async def load(self, served: ServedVersion) -> LoadedModel:
        """A version, from memory or else from its package; many at once load it once."""
        loaded = self._loaded.get(served.id)
        if loaded is not None:
            self._loaded.move_to_end(served.id)
            loaded.record.hits += 1
            return loaded
        task = self._loading.get(served.id)
        if task is None:
            task = self._loading[served.id] = asyncio.create_task(self._load(served))
            task.add_done_callback(lambda _: self._loading.pop(served.id, None))
        return await asyncio.shield(task)

    async def warm_up(self) -> None:
        """Import what a first prediction would wait for, if there is a model to ask: it takes a third of a second."""
        await asyncio.sleep(WARM_UP_SECONDS)
        with suppress(DBAPIError):
            await self._in_pool(_warm_up)

    def loaded(self) -> list[LoadedModel]:
        """What is in memory, the least recently used first."""
        return list(self._loaded.values())

    def forget(self) -> None:
        """Look every name up again from now on."""
        self._resolved.clear()

    def close(self) -> None:
        """Take no more work."""
        for loaded in self._loaded.values():
            loaded.batcher.close()
        for pool in (self._pool, self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _load(self, served: ServedVersion) -> LoadedModel:
        started = time.perf_counter()
        try:
            predictor, files = await self._opened(served)
        except DamagedPackage:
            if not await self._in_pool(lambda: self._packages.forget(served), self._loader):
                raise
            predictor, files = await self._opened(served)
        record = self._measures.by_model.of(served.name)
        most_waiting = self._settings.predict_queue_length
        loaded = self._loaded[served.id] = LoadedModel(
            served,
            predictor,
            Batcher(predictor, self._line(predictor), most_waiting=most_waiting, on_batch=record.batch),
            files,
            StreamScheduler(predictor) if predictor.streams else None,
            record,
        )
        record.loads += 1
        self._measure()
        _log.info("loaded", model=served.name, version=served.version, seconds=round(time.perf_counter() - started, 3))
        return loaded

    async def _opened(self, served: ServedVersion) -> tuple[Predictor, Mapping[str, int]]:
        """And its files."""
        package = await self._in_pool(lambda: self._packages.open(served), self._loader)
        # Room is made first, so that what leaves and what comes are not in memory together.
        files = package.served_bytes
        self._coming.append(files)
        try:
            self._make_room()
            return await self._in_pool(lambda: _loaded(package), self._loader), files
        finally:
            self._coming.remove(files)

    def _line(self, predictor: Predictor) -> SharedQueue:
        """That of the models it is like, or one of its own."""
        from ml.inference.predictor import BATCH_INPUTS

        line = None if predictor.alike is None else self._lines.get(predictor.alike)
        if line is None:
            line = SharedQueue(most_rows=BATCH_INPUTS)
            if predictor.alike is not None:
                self._lines[predictor.alike] = line
        return line

    def _make_room(self) -> None:
        while self._loaded and self._bytes_with(*self._coming) > self._settings.predict_memory_bytes:
            leaving = self._loaded.pop(self._next_to_leave())
            leaving.batcher.close()
            # What it is being asked is still answered; its memory comes back when the last of that is done.
            weakref.finalize(leaving.predictor, self._freed, asyncio.get_running_loop())
            leaving.record.evictions += 1
            _log.info("unloaded", model=leaving.served.name, version=leaving.served.version)
        self._measure()

    def _freed(self, loop: asyncio.AbstractEventLoop) -> None:
        """A predictor is going, in whatever thread held it last: once it is gone, the system gets its memory."""

        def soon() -> None:
            loop.call_later(GIVE_BACK_SECONDS, _give_back_memory)

        with suppress(RuntimeError):  # The loop has ended, and so does the process.
            loop.call_soon_threadsafe(soon)

    def _next_to_leave(self) -> str:
        """The least recently used. While one model is in use, those with the same trunk would free next to nothing."""
        last_used = {id(loaded.batcher.line): place for place, loaded in enumerate(self._loaded.values())}
        oldest = min(last_used, key=last_used.__getitem__)
        return next(key for key, loaded in self._loaded.items() if id(loaded.batcher.line) == oldest)

    def _bytes_with(self, *coming: Mapping[str, int]) -> int:
        """Of what is loaded and of what is to come: a file that several have is in memory once."""
        files: dict[str, int] = {}
        for each in (*(loaded.files for loaded in self._loaded.values()), *coming):
            files |= each
        return sum(files.values())

    def _in_memory(self) -> list[LoadedModelInfo]:
        return [
            LoadedModelInfo(
                each.served.name, each.served.version, each.predictor.engine, each.bytes, each.batcher.waiting
            )
            for each in self.loaded()
        ]

    def _measure(self) -> None:
        self._measures.loaded(models=len(self._loaded), total_bytes=self._bytes_with())

    async def _in_pool(self, work: Callable[[], T], pool: ThreadPoolExecutor | None = None) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, work)


def find_version(reference: str) -> ServedVersion:
    """What a reference means in the database; raises `ProblemError` 404."""
    with reading() as session:
        try:
            row = models.version(session, reference)
        except NotFound as error:
            told = unknown("model", reference, error.known)
            known = told.expected or "none yet; a job makes one"
            detail = f"There is no model {reference!r}. Known: {known}. {told.hint or ''}".rstrip()
            raise ProblemError(404, "not_found", detail) from error
        return ServedVersion(row.id, row.name, row.version, row.task, row.key, row.manifest_sha256)


def _warm_up() -> None:
    with reading() as session:
        names = models.names(session)[:WARM_UP_MODELS]
        slots = {slot for name in names for slot in models.version(session, name).architectures}
    if not names:
        return
    for module in ("ml.inference.predictor", "onnxruntime", *(READERS[slot] for slot in slots & READERS.keys())):
        importlib.import_module(module)


def _loaded(package: ModelPackage) -> Predictor:
    from ml.inference.predictor import Predictor

    return Predictor.load(package)


def queue_full(full: QueueFull) -> ProblemError:
    """429, with the time after which there should be room."""
    seconds = max(1, math.ceil(full.retry_seconds))
    detail = f"{full.waiting} inputs are waiting for this model. Try again in {seconds} s."
    return ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "queue_full", detail, headers={"Retry-After": str(seconds)})


def _files_bytes(outputs: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(value) for output in outputs for value in output.values() if isinstance(value, str))


def _too_much(answered: int, asked: int) -> ProblemError:
    detail = (
        f"The answers to the first {answered:,} of {asked:,} inputs come to over {MOST_ANSWER_BYTES >> 20} MiB. "
        "Send fewer inputs at a time."
    )
    return ProblemError(
        422,
        "answer_too_large",
        detail,
        errors=[{"code": "answer_too_large", "message": detail, "path": f"inputs.{answered - 1}"}],
    )


def _weight(given: Any) -> int:
    """Bytes, roughly, of one input as it came."""
    if isinstance(given, bytes | str):
        return len(given)
    if isinstance(given, dict):
        return sum(_weight(value) for value in given.values())
    return SMALL_BYTES // 1024 * len(given) if isinstance(given, list) else 8


def _give_back_memory() -> None:
    """What was freed goes back to the system; glibc alone would keep it for later."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
