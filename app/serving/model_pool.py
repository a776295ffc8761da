"""Models in memory, loaded on first use.

The least recently used are evicted when the memory budget is exceeded.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from app.event_log import EventLogger
from app.metrics.models import LoadedModelInfo
from app.serving.batcher import Batcher, SharedQueue
from app.serving.streaming import StreamScheduler
from app.serving.types import LoadedModel
from ml.errors import DamagedPackage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.metrics.registry import MetricsRegistry
    from app.serving.package_cache import PackageCache
    from app.serving.types import ServedVersion, ServingLimits
    from ml.inference.predictor import Predictor
    from ml.package.package import ModelPackage

_log = EventLogger("plinth.predict")

T = TypeVar("T")

#: Delay after which an evicted model that nobody refers to any more is surely freed.
FREE_DELAY_SECONDS: Final = 0.05
#: Models whose batches run at the same time; more would only share the processors.
MAX_BATCH_THREADS: Final = 16


class ModelPool:
    """Loaded models by version, within a memory budget. Packages are opened and loaded in threads."""

    def __init__(self, *, packages: PackageCache, limits: ServingLimits, metrics: MetricsRegistry) -> None:
        """Create an empty pool that reports to `metrics`."""
        self._packages = packages
        self._limits = limits
        self._metrics = metrics
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        #: Queues by what the models that share them have in common.
        self._queues: WeakValueDictionary[Any, SharedQueue] = WeakValueDictionary()
        self._loads: dict[str, asyncio.Task[LoadedModel]] = {}
        #: Files of the models that are being loaded.
        self._incoming_files: list[Mapping[str, int]] = []
        # Threads of its own: a request for a loaded model must not wait for a package that is being fetched.
        self._executor = ThreadPoolExecutor(limits.threads, thread_name_prefix="load")
        #: Runs the batches of all models. It starts threads only as far as batches run at the same time.
        self._batch_executor = ThreadPoolExecutor(MAX_BATCH_THREADS, thread_name_prefix="predict")
        metrics.by_model.list_loaded = self._infos

    def peek(self, served: ServedVersion) -> LoadedModel | None:
        """Return the model of a version if it is loaded; counts as a use."""
        model = self._models.get(served.id)
        if model is not None:
            self._models.move_to_end(served.id)
            model.record.hits += 1
        return model

    async def load(self, served: ServedVersion) -> LoadedModel:
        """Return the model of a version, loading it if necessary.

        Concurrent calls load it once. Raises `PackageError`, `StorageFull` and `StorageUnavailable`.
        """
        model = self.peek(served)
        if model is not None:
            return model
        task = self._loads.get(served.id)
        if task is None:
            task = self._loads[served.id] = asyncio.create_task(self._load(served))
            task.add_done_callback(lambda _: self._loads.pop(served.id, None))
        return await asyncio.shield(task)

    def list_loaded(self) -> list[LoadedModel]:
        """List the models in memory, the least recently used first."""
        return list(self._models.values())

    def unload(self, name: str) -> None:
        """Free the memory of all versions of a name; requests that wait are still answered."""
        for key in [key for key, model in self._models.items() if model.served.name == name]:
            self._remove(key)
        self._report()

    def close(self) -> None:
        """Accept no more work."""
        for model in self._models.values():
            if model.stream_scheduler is not None:
                model.stream_scheduler.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._batch_executor.shutdown(wait=False)

    async def _load(self, served: ServedVersion) -> LoadedModel:
        start = time.perf_counter()
        try:
            predictor, files = await self._open(served)
        except DamagedPackage:
            if not await self._in_executor(lambda: self._packages.forget(served)):
                raise
            predictor, files = await self._open(served)
        record = self._metrics.by_model.record_of(served.name)
        max_waiting = self._limits.queue_length
        model = self._models[served.id] = LoadedModel(
            served,
            predictor,
            Batcher(predictor, self._queue_of(predictor), max_waiting=max_waiting, on_batch=record.record_batch),
            files,
            StreamScheduler(predictor) if predictor.can_stream else None,
            record,
        )
        record.loads += 1
        self._report()
        _log.info("loaded", model=served.name, version=served.version, seconds=round(time.perf_counter() - start, 3))
        return model

    async def _open(self, served: ServedVersion) -> tuple[Predictor, Mapping[str, int]]:
        """Return the predictor of a version, and its file sizes by SHA-256."""
        package = await self._in_executor(lambda: self._packages.open(served))
        # Evict first, so that the evicted and the new model are not in memory together.
        files = package.served_bytes
        self._incoming_files.append(files)
        try:
            self._evict()
            return await self._in_executor(lambda: _load_predictor(package, self._limits.device)), files
        finally:
            self._incoming_files.remove(files)

    def _queue_of(self, predictor: Predictor) -> SharedQueue:
        """Return the queue of models with the same trunk, or a new one."""
        from ml.inference.predictor import BATCH_INPUTS

        queue = None if predictor.trunk_key is None else self._queues.get(predictor.trunk_key)
        if queue is None:
            queue = SharedQueue(max_rows=BATCH_INPUTS, executor=self._batch_executor)
            if predictor.trunk_key is not None:
                self._queues[predictor.trunk_key] = queue
        return queue

    def _evict(self) -> None:
        """Evict models until loaded and incoming ones fit into the memory budget."""
        while self._models and self._bytes_with(*self._incoming_files) > self._limits.memory_bytes:
            self._remove(self._next_to_evict())
        self._report()

    def _remove(self, key: str) -> None:
        model = self._models.pop(key)
        # Its pending requests are still answered; its memory is freed after the last of them.
        weakref.finalize(model.predictor, self._trim_soon, asyncio.get_running_loop())
        model.record.evictions += 1
        _log.info("unloaded", model=model.served.name, version=model.served.version)

    def _trim_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return the memory of a predictor to the system after it is freed.

        May be called from any thread.
        """

        def schedule() -> None:
            loop.call_later(FREE_DELAY_SECONDS, _trim_memory)

        with suppress(RuntimeError):  # The loop has ended, and so does the process.
            loop.call_soon_threadsafe(schedule)

    def _next_to_evict(self) -> str:
        """Return the id of the least recently used model.

        Models with a shared queue count as one: while one of them is in use, evicting another with the same trunk would
        free next to nothing.
        """
        last_uses = {id(model.batcher.queue): position for position, model in enumerate(self._models.values())}
        oldest = min(last_uses, key=last_uses.__getitem__)
        return next(key for key, model in self._models.items() if id(model.batcher.queue) == oldest)

    def _bytes_with(self, *incoming: Mapping[str, int]) -> int:
        """Return the total size of all loaded and incoming files.

        A file that several models share counts once.
        """
        sizes: dict[str, int] = {}
        for files in (*(model.files for model in self._models.values()), *incoming):
            sizes |= files
        return sum(sizes.values())

    def _infos(self) -> list[LoadedModelInfo]:
        infos: dict[tuple[str, int], LoadedModelInfo] = {}
        for model in self.list_loaded():
            served, size, waiting = model.served, model.bytes, model.batcher.waiting
            # Nested sizes of one version count as one.
            if (earlier := infos.get((served.name, served.version))) is not None:
                size, waiting = size + earlier.bytes, waiting + earlier.waiting
            info = LoadedModelInfo(served.name, served.version, model.predictor.engine, size, waiting)
            infos[served.name, served.version] = info
        return list(infos.values())

    def _report(self) -> None:
        self._metrics.set_loaded_models(models=len(self._models), total_bytes=self._bytes_with())

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _load_predictor(package: ModelPackage, device: str) -> Predictor:
    from ml.inference.predictor import Predictor

    return Predictor.load(package, device=device)


def _trim_memory() -> None:
    """Return freed memory to the system; glibc alone would keep it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
