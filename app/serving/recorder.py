"""Records of answered requests of watched models.

Answers are sent first: what a watch has drawn waits in a bounded queue, and a thread of its own embeds it and writes it
to the database. What finds no room in the queue is dropped and counted.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy.exc import DBAPIError

from app.event_log import EventLogger
from ml.errors import InputError, MLError
from store.adaptation import records, watches
from store.database import transaction
from store.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.serving.types import LoadedModel, WatchRoute
    from ml.inference.predictor import Predictor

#: Delay after which records are in the database.
FLUSH_SECONDS: Final = 0.5
#: Answered inputs that may wait for the database, and their size; more are dropped.
MAX_WAITING: Final = 1024
MAX_WAITING_BYTES: Final = 32 * 1024**2
#: Larger inputs are not recorded.
MAX_INPUT_BYTES: Final = 4 * 1024**2

_log = EventLogger("plinth.predict")


@dataclass(frozen=True, slots=True)
class AnsweredInput:
    """One input of a request that a watch has drawn, and its answer."""

    watch: WatchRoute
    model: LoadedModel
    raw_input: Any
    #: Fields that the request sets for all of its inputs.
    fields: Mapping[str, Any]
    output: Mapping[str, Any]
    request_id: str
    position: int


class RequestRecorder:
    """Records a fraction of the answers of watched models. Used on the event loop only."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._waiting: list[AnsweredInput] = []
        self._waiting_bytes = 0
        self._figures: dict[str, dict[str, Counter[str]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flush_in_progress: Future[None] | None = None

    def draws(self, watch: WatchRoute) -> bool:
        """Return whether the next answer is recorded."""
        return random.random() < watch.fraction

    def count(self, watch: WatchRoute, version: int, *, is_error: bool = False) -> None:
        """Count an answered or failed request of a version."""
        counts = self._counts(watch, version)
        counts["requests"] += 1
        if is_error:
            counts["errors"] += 1

    def offer(
        self,
        watch: WatchRoute,
        model: LoadedModel,
        inputs: Sequence[Any],
        fields: Mapping[str, Any],
        outputs: Sequence[Mapping[str, Any]],
        request_id: str,
    ) -> None:
        """Queue the inputs of an answered request; what has no label is left out."""
        counts = self._counts(watch, model.served.version)
        for position, (raw_input, output) in enumerate(zip(inputs, outputs, strict=True)):
            if "label" not in output or "confidence" not in output:
                continue
            size = _estimate_bytes(raw_input)
            is_full = len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES
            if is_full or size > MAX_INPUT_BYTES:
                counts["dropped"] += 1
                model.record.record_drops += 1
                continue
            self._waiting.append(AnsweredInput(watch, model, raw_input, fields, output, request_id, position))
            self._waiting_bytes += size
            counts["recorded"] += 1
            model.record.recorded += 1

    def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._executor.shutdown(wait=True)
        _save(*self._take())

    def _counts(self, watch: WatchRoute, version: int) -> Counter[str]:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
        return self._figures.setdefault(watch.id, {}).setdefault(str(version), Counter())

    def _flush(self) -> None:
        self._timer = None
        if self._flush_in_progress is not None and not self._flush_in_progress.done():
            # A slow database must not pile up work: the queue is bounded, and the next flush takes all of it.
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
            return
        self._flush_in_progress = self._executor.submit(_save, *self._take())

    def _take(self) -> tuple[list[AnsweredInput], dict[str, dict[str, dict[str, int]]]]:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        figures, self._figures = self._figures, {}
        return waiting, {
            watch_id: {version: dict(counts) for version, counts in versions.items()}
            for watch_id, versions in figures.items()
        }


def input_fields(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are fields of every input."""
    return {name: value for name, value in parameters.items() if name not in ("return", "conformal")}


def _save(answered: Sequence[AnsweredInput], figures: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    """Write records and figures; a failure is logged, as nobody waits for them."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for (watch, _), group in groupby(answered, key=lambda item: (item.watch, item.model.served.id)):
        rows.setdefault(watch.id, []).extend(_to_rows(list(group)))
    try:
        for watch_id in {*figures, *rows}:
            with transaction() as session:
                watches.add_figures(session, watch_id, figures.get(watch_id, {}))
                watch = watches.lock_watch(session, watch_id)
                # A watch that has ended since keeps nothing.
                if watch is not None and watch.keep != watches.OFF and watch_id in rows:
                    records.add(session, [_for_mode(row, watch.keep) for row in rows[watch_id]])
                    records.trim(session, watch)
    except DBAPIError as error:
        _log.warning("records of requests are lost", reason=str(error.orig))


def _for_mode(row: dict[str, Any], keep: str) -> dict[str, Any]:
    return row if keep == watches.ROWS else {**row, "input": None, "bytes": len(row["embedding"] or b"")}


def _to_rows(group: Sequence[AnsweredInput]) -> list[dict[str, Any]]:
    """Return the columns of records of one model, with embeddings and statistics."""
    from ml.inference.watched_inputs import measure_input, to_stored_input

    model = group[0].model
    served, predictor = model.served, model.predictor
    try:
        inputs = [to_stored_input(predictor.adapter, item.raw_input, item.fields) for item in group]
        statistics = [measure_input(predictor.adapter.read(stored, parameters={})) for stored in inputs]
        embeddings = _embed(predictor, inputs)
    except MLError as error:
        _log.warning("answers are not recorded", model=served.name, version=served.version, reason=error.message)
        return []
    rows = []
    for item, stored, numbers, embedding in zip(group, inputs, statistics, embeddings, strict=True):
        content = orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)
        rows.append(
            {
                "id": new_id("rec"),
                "model_name": served.name,
                "version": served.version,
                "request_id": item.request_id,
                "position": item.position,
                "label": item.output["label"],
                "confidence": float(item.output["confidence"]),
                "statistics": numbers,
                "embedding": embedding,
                "input": content,
                "bytes": len(content) + len(embedding or b""),
            }
        )
    return rows


def _embed(predictor: Predictor, inputs: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
    """Return the embeddings as float32, None for a model without.

    Only the beginning of a long text is embedded.
    """
    import numpy as np

    from ml.inference.embedding_adapter import EMBEDDING
    from ml.inference.predictor import BATCH_INPUTS

    request = predictor.parse_parameters({})
    vectors: list[bytes | None] = []
    try:
        for start in range(0, len(inputs), BATCH_INPUTS):
            rows = [predictor.read_rows(stored, request)[0] for stored in inputs[start : start + BATCH_INPUTS]]
            outputs = predictor.answer(rows, output=EMBEDDING)
            vectors += [np.asarray(output[EMBEDDING], np.float32).tobytes() for output in outputs]
    except InputError:
        return [None] * len(inputs)
    return vectors


def _estimate_bytes(raw_input: Any) -> int:
    if isinstance(raw_input, bytes | str):
        return len(raw_input)
    if isinstance(raw_input, dict):
        return sum(_estimate_bytes(value) for value in raw_input.values())
    return sum(_estimate_bytes(value) for value in raw_input) if isinstance(raw_input, list) else 8
