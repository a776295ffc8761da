"""Prediction with any registered model.

It resolves the name, loads the model, reads the inputs, and waits for the outputs.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError

from app.event_log import current_request_id
from app.serving.batcher import PendingRequest
from app.serving.errors import DeadlineExceeded, NotStreamable, QueueFull, ResponseTooLarge
from app.serving.model_pool import ModelPool
from app.serving.recorder import RequestRecorder, input_fields
from app.serving.resolver import NameResolver
from app.serving.sizes import choose_size
from app.serving.traffic import SplitTraffic
from app.serving.types import PredictResult
from app.tracing import describe_prediction
from ml.errors import InputError, PackageError
from store import models
from store.database import reading
from store.telemetry.current_span import current_span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from app.metrics.registry import MetricsRegistry
    from app.serving.package_cache import PackageCache
    from app.serving.types import LoadedModel, ServedVersion, ServingLimits, WatchRoute
    from ml.data.rows import Row
    from ml.inference.predictor import ParsedRequest, Predictor

T = TypeVar("T")

#: Modules that read the inputs of a slot.
READERS: Final = {"text": "tokenizers", "audio": "soundfile"}
#: Models whose architectures are looked up before the warm-up.
WARM_UP_MODELS: Final = 100
#: Delay of the warm-up after the start: becoming ready comes first.
WARM_UP_DELAY_SECONDS: Final = 0.2
#: Images and audio clips of one response, as base64: a thousand short inputs can request gigabytes.
MAX_RESPONSE_BYTES: Final = 256 * 1024**2
#: Smaller inputs are read on the event loop: handing them to a thread would take longer.
SMALL_BYTES: Final = 64 * 1024
#: The same limit where texts are tokenized when they are read: 4 KiB take about 1 ms.
SMALL_TEXT_BYTES: Final = 4 * 1024


class PredictService:
    """Predicts with any registered model.

    Everything but reading large inputs and running the network happens on the event loop.
    """

    def __init__(self, *, packages: PackageCache, limits: ServingLimits, metrics: MetricsRegistry) -> None:
        """Create a service without any model in memory."""
        self._executor = ThreadPoolExecutor(limits.threads, thread_name_prefix="read")
        self.pool = ModelPool(packages=packages, limits=limits, metrics=metrics)
        self.names = NameResolver(self._executor, ttl_seconds=limits.name_ttl_seconds, prepare=self.pool.load)
        self.traffic = SplitTraffic(self._executor)
        self.recorder = RequestRecorder()

    async def predict(
        self,
        reference: str,
        inputs: Sequence[Any],
        *,
        parameters: Mapping[str, Any],
        deadline: float | None = None,
        budget_seconds: float | None = None,
        split_key: str | None = None,
    ) -> PredictResult:
        """Return one output for each input; `deadline` is a monotonic time.

        With a budget, the largest size of the model that answers in time is used, else the smallest. Where an alias
        splits its traffic, requests of one `split_key` get the same version; without one, it is drawn at random.

        Raises `ModelNotFound`, `QueueFull`, `DeadlineExceeded`, `ResponseTooLarge`, `InputError` and `PackageError`.
        """
        served = await self.names.resolve(reference)
        split = served.split

        async def answer(*, by_candidate: bool) -> PredictResult:
            if split is None or not by_candidate:
                load = self._load(reference, served)
                return await self._watch(served, load, inputs, parameters, deadline, budget_seconds)
            # Errors of the candidate must not count for the version of the alias, which a guard might replace. What a
            # shadow says is no answer to a request, so that nothing of it is recorded.
            candidate = replace(split.candidate, watch=None if split.is_shadow else served.watch)
            load = self.pool.load(split.candidate)
            return await self._watch(candidate, load, inputs, parameters, deadline, budget_seconds)

        if split is None:
            result = await answer(by_candidate=False)
        else:
            result = await self.traffic.predict(split, split_key, answer)
        if (span := current_span.get()) is not None:
            name, version = result.served.name, result.served.version
            span.annotate(describe_prediction(name, version, inputs=len(inputs), queue_seconds=result.queue_seconds))
        return result

    async def _watch(
        self,
        served: ServedVersion,
        load: Awaitable[LoadedModel],
        inputs: Sequence[Any],
        parameters: Mapping[str, Any],
        deadline: float | None,
        budget_seconds: float | None,
    ) -> PredictResult:
        """Answer by the model of `load`, and record the answer of a watched model."""
        watch, recorder = served.watch, self.recorder
        try:
            model = await load
            result = await self._predict(model, inputs, parameters, deadline, budget_seconds)
        except (InputError, QueueFull, DeadlineExceeded):
            raise
        except Exception:  # raised again: whatever failed, the version failed to answer
            if watch is not None:
                recorder.count(watch, served.version, is_error=True)
            raise
        if watch is not None:
            recorder.count(watch, result.served.version)
            if recorder.draws(watch):
                recorder.offer(watch, model, inputs, input_fields(parameters), result.outputs, current_request_id())
        return result

    async def _predict(
        self,
        model: LoadedModel,
        inputs: Sequence[Any],
        parameters: Mapping[str, Any],
        deadline: float | None,
        budget_seconds: float | None,
    ) -> PredictResult:
        start = time.perf_counter()
        served = model.served
        if budget_seconds is not None:
            served = choose_size(
                model, rows=len(inputs), budget_seconds=budget_seconds, waiting_seconds=self._waiting_seconds
            )
            model = model if served.id == model.served.id else await self.pool.load(served)
        request = model.predictor.parse_parameters(parameters)
        outputs: list[dict[str, Any]] = []
        response_bytes = 0
        queue_seconds = 0.0
        # All inputs are read before any is run: an invalid last input must not waste the work on the others.
        for rows in await self._read(model.predictor, inputs, request):
            batch_outputs, batch_queue_seconds = await self._run(model, rows, request, deadline)
            queue_seconds += batch_queue_seconds
            response_bytes += _file_bytes(batch_outputs)
            outputs += batch_outputs
            if response_bytes > MAX_RESPONSE_BYTES:
                raise ResponseTooLarge(len(outputs), len(inputs), MAX_RESPONSE_BYTES)
        model.record.latency.observe(time.perf_counter() - start)
        return PredictResult(served, model.predictor.finish(outputs, len(inputs), request), queue_seconds)

    async def stream(
        self, reference: str, inputs: Sequence[Any], *, parameters: Mapping[str, Any]
    ) -> tuple[ServedVersion, AsyncIterator[str | dict[str, Any] | None]]:
        """Stream the output of the only input, as `StreamScheduler.pieces` yields it.

        Raises `NotStreamable`, and the errors of `predict`.
        """
        model = await self.load(reference)
        request = model.predictor.parse_parameters(parameters)
        if model.stream_scheduler is None or request.output is not None or len(inputs) != 1:
            raise NotStreamable
        ((row,),) = await self._read(model.predictor, inputs, request)
        return model.served, model.stream_scheduler.pieces(row)

    async def count_tokens(self, served: ServedVersion, texts: Sequence[str]) -> int:
        """Return the number of tokens of all texts, without begin and end tokens."""
        model = await self.pool.load(served)
        return await self._in_executor(lambda: model.predictor.count_tokens(texts))

    async def list_tokens(
        self, served: ServedVersion, texts: Sequence[str], *, has_special_tokens: bool
    ) -> list[list[dict[str, Any]]] | None:
        """Return the tokens of each text, or None for a model that reads no texts."""
        model = await self.pool.load(served)
        return await self._in_executor(
            lambda: model.predictor.list_tokens(texts, has_special_tokens=has_special_tokens)
        )

    def peek(self, reference: str) -> tuple[LoadedModel, WatchRoute | None] | None:
        """Return the model of a reference without waiting, and its watch.

        Return None where it must be resolved or loaded first, or where an alias splits its traffic.
        """
        served = self.names.peek(reference)
        model = None if served is None or served.split is not None else self.pool.peek(served)
        return None if served is None or model is None else (model, served.watch)

    async def signature(self, served: ServedVersion) -> dict[str, Any]:
        """Return the schemas of a model, and an example with its output."""
        model = await self.pool.load(served)
        return await self._in_executor(model.predictor.signature)

    async def warm_up(self) -> None:
        """Import the modules that a first prediction needs, if there is a model.

        The imports take a third of a second.
        """
        await asyncio.sleep(WARM_UP_DELAY_SECONDS)
        with suppress(DBAPIError):
            await self._in_executor(_warm_up)

    def close(self) -> None:
        """Accept no more work."""
        self.traffic.close()
        self.recorder.close()
        self.pool.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def load(self, reference: str) -> LoadedModel:
        """Return the model of a reference, loading it if necessary.

        Raises `ModelNotFound`, `PackageError`, `StorageFull` and `StorageUnavailable`.
        """
        return await self._load(reference, await self.names.resolve(reference))

    async def _load(self, reference: str, served: ServedVersion) -> LoadedModel:
        try:
            return await self.pool.load(served)
        except PackageError:
            # The version may have been deleted since its name was resolved.
            self.names.forget(reference)
            current = await self.names.resolve(reference)
            if current == served:
                raise
            return await self.pool.load(current)

    def _waiting_seconds(self, served: ServedVersion) -> float:
        """Return the time until the queue of a version is empty.

        It is 0 where the version is not loaded.
        """
        model = self.pool.peek(served)
        return 0.0 if model is None else model.batcher.expected_seconds

    async def _read(self, predictor: Predictor, inputs: Sequence[Any], request: ParsedRequest) -> list[list[Row]]:
        def read() -> list[list[Row]]:
            return list(predictor.batches(inputs, request))

        limit = SMALL_TEXT_BYTES if predictor.splits_texts else SMALL_BYTES
        is_small = len(inputs) == 1 and _estimate_bytes(inputs[0]) <= limit
        return read() if is_small else await self._in_executor(read)

    async def _run(
        self, model: LoadedModel, rows: Sequence[Row], request: ParsedRequest, deadline: float | None
    ) -> tuple[list[dict[str, Any]], float]:
        """Return the outputs of rows, and their time in the queue."""
        future: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()

        def resolve(outputs: list[dict[str, Any]] | None, error: Exception | None) -> None:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(outputs or [])

        pending = PendingRequest(rows, request.output, resolve, future.done, deadline)
        model.batcher.submit(pending)
        return await future, pending.queue_seconds

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _warm_up() -> None:
    with reading() as session:
        names = models.names(session)[:WARM_UP_MODELS]
        slots = {slot for name in names for slot in models.version(session, name).architectures}
    if not names:
        return
    for module in ("ml.inference.predictor", "onnxruntime", *(READERS[slot] for slot in slots & READERS.keys())):
        importlib.import_module(module)


def _file_bytes(outputs: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(value) for output in outputs for value in output.values() if isinstance(value, str))


def _estimate_bytes(raw_input: Any) -> int:
    """Estimate the size in bytes of one input as it was received."""
    if isinstance(raw_input, bytes | str):
        return len(raw_input)
    if isinstance(raw_input, dict):
        return sum(_estimate_bytes(value) for value in raw_input.values())
    return SMALL_BYTES // 1024 * len(raw_input) if isinstance(raw_input, list) else 8
