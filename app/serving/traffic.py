"""Split traffic of aliases: canary and shadow versions, and figures of both.

The draw of a version depends on the request's key alone, so that a client with a key keeps its version, and a larger
weight only adds clients to the candidate. Figures gather in memory and are added to the database by each API process.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy.exc import DBAPIError

from app.event_log import EventLogger
from app.metrics.histogram import Histogram
from app.serving.errors import DeadlineExceeded
from ml.errors import InputError
from store import traffic
from store.database import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor

    from app.serving.types import PredictResult, SplitRoute

#: Delay after which figures are in the database.
FLUSH_SECONDS: Final = 0.5
#: Copies of requests that may run at once; more are dropped, so that a slow candidate costs no memory.
MAX_MIRRORED: Final = 64
#: Classes that are counted by name between two flushes; further ones count as one.
MAX_CLASSES: Final = 100
OTHER_CLASSES: Final = "(others)"

_log = EventLogger("plinth.predict")


class AnswerCall(Protocol):
    """Answers the request by the candidate, or by the version of the alias."""

    async def __call__(self, *, by_candidate: bool) -> PredictResult:
        """Return the outputs."""


@dataclass(slots=True)
class VersionFigures:
    """Counts of one of the two versions."""

    requests: int = 0
    #: Requests that failed, those with invalid inputs left out.
    errors: int = 0
    latency: Histogram = field(default_factory=Histogram)
    classes: Counter[str] = field(default_factory=Counter)
    confidences: int = 0
    confidence_sum: float = 0.0

    def count_outputs(self, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Count predicted classes and their confidences."""
        for output in outputs:
            label, confidence = output.get("label"), output.get("confidence")
            if isinstance(label, str):
                is_named = label in self.classes or len(self.classes) < MAX_CLASSES
                self.classes[label if is_named else OTHER_CLASSES] += 1
            if isinstance(confidence, float):
                self.confidences += 1
                self.confidence_sum += confidence

    def to_json(self) -> dict[str, Any]:
        """Convert to numbers, lists and mappings, which can be summed."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "latency_counts": self.latency.counts,
            "latency_total": self.latency.total,
            "classes": dict(self.classes),
            "confidences": self.confidences,
            "confidence_sum": self.confidence_sum,
        }


@dataclass(slots=True)
class SplitFigures:
    """Counts of both versions since the last flush."""

    current: VersionFigures = field(default_factory=VersionFigures)
    candidate: VersionFigures = field(default_factory=VersionFigures)
    #: Mirrored inputs whose labels were compared, and those with the same label.
    compared: int = 0
    agreements: int = 0
    #: Copies of requests that were not run, as too many were running.
    dropped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Convert to numbers, lists and mappings, which can be summed."""
        return {
            "current": self.current.to_json(),
            "candidate": self.candidate.to_json(),
            "compared": self.compared,
            "agreements": self.agreements,
            "dropped": self.dropped,
        }


class SplitTraffic:
    """Answers requests of aliases that split their traffic. Used on the event loop only."""

    def __init__(self, executor: Executor) -> None:
        """`executor` writes figures to the database."""
        self._executor = executor
        self._figures: dict[str, SplitFigures] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._mirrored: set[asyncio.Task[None]] = set()

    async def predict(self, split: SplitRoute, key: str | None, answer: AnswerCall) -> PredictResult:
        """Answer a request by one of the versions; `key` draws it.

        A candidate that fails does not fail the request: the version of the alias answers it.
        """
        is_drawn = draws_candidate(key or secrets.token_hex(8), split.weight)
        if not is_drawn or split.is_shadow:
            result = await self._observe(split, answer, by_candidate=False)
            if is_drawn:
                self._mirror(split, answer, result)
            return result
        try:
            return await self._observe(split, answer, by_candidate=True)
        except DeadlineExceeded:
            raise
        except Exception as error:
            result = await self._observe(split, answer, by_candidate=False)
            self._log_failure(split, error)
            return result

    def close(self) -> None:
        """Write the figures that are left, and drop copies that still run."""
        for task in self._mirrored:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            _save(self._take())

    async def _observe(self, split: SplitRoute, answer: AnswerCall, *, by_candidate: bool) -> PredictResult:
        start = time.perf_counter()
        try:
            result = await answer(by_candidate=by_candidate)
        except InputError:
            raise
        except Exception:
            version = self._version_figures(split, by_candidate=by_candidate)
            version.requests += 1
            version.errors += 1
            raise
        version = self._version_figures(split, by_candidate=by_candidate)
        version.requests += 1
        version.latency.observe(time.perf_counter() - start)
        version.count_outputs(result.outputs)
        return result

    def _mirror(self, split: SplitRoute, answer: AnswerCall, result: PredictResult) -> None:
        if len(self._mirrored) >= MAX_MIRRORED:
            self._figures_of(split).dropped += 1
            return
        task = asyncio.get_running_loop().create_task(self._run_mirrored(split, answer, result))
        self._mirrored.add(task)
        task.add_done_callback(self._mirrored.discard)

    async def _run_mirrored(self, split: SplitRoute, answer: AnswerCall, expected: PredictResult) -> None:
        try:
            result = await self._observe(split, answer, by_candidate=True)
        except Exception as error:  # A candidate that only gets copies must not disturb anything.
            self._log_failure(split, error)
            return
        figures = self._figures_of(split)
        for output, expected_output in zip(result.outputs, expected.outputs, strict=False):
            if "label" in output and "label" in expected_output:
                figures.compared += 1
                figures.agreements += output["label"] == expected_output["label"]

    def _log_failure(self, split: SplitRoute, error: Exception) -> None:
        """Log that only the candidate failed; count an input that only it refuses."""
        if isinstance(error, InputError):
            version = self._version_figures(split, by_candidate=True)
            version.requests += 1
            version.errors += 1
        candidate = split.candidate
        _log.warning("the candidate failed", model=candidate.name, version=candidate.version, reason=str(error))

    def _version_figures(self, split: SplitRoute, *, by_candidate: bool) -> VersionFigures:
        figures = self._figures_of(split)
        return figures.candidate if by_candidate else figures.current

    def _figures_of(self, split: SplitRoute) -> SplitFigures:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
        return self._figures.setdefault(split.id, SplitFigures())

    def _flush(self) -> None:
        self._timer = None
        self._executor.submit(_save, self._take())

    def _take(self) -> dict[str, dict[str, Any]]:
        figures, self._figures = self._figures, {}
        return {split_id: counts.to_json() for split_id, counts in figures.items()}


def draws_candidate(key: str, weight: float) -> bool:
    """Return whether the candidate gets the requests with this key."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < weight * 2**64


def _save(figures: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        with transaction() as session:
            for split_id, counts in figures.items():
                traffic.add_figures(session, split_id, counts)
    except DBAPIError as error:
        _log.warning("figures of split traffic are lost", reason=str(error.orig))
