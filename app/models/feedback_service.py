"""Stores feedback, and chooses the recorded inputs that are most useful to label."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.http.errors import ProblemError
from app.models.feedback_schemas import Feedback, FeedbackDataset, LabelCandidate, LabelCandidates
from ml.errors import InputError, SpecError, unknown
from store import datasets, models
from store.adaptation import collection, feedback, records, watches
from store.database import reading, transaction

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.models.feedback_schemas import FeedbackDatasetCreate, FeedbackSend
    from app.serving.types import LoadedModel
    from store.tables import RequestRecord

#: Newest records among which candidates are chosen.
MAX_POOL: Final = 2_000
#: Inputs that are in memory at a time; an image may take megabytes.
INPUTS_PER_READ: Final = 16


def check_task(name: str, version: int, task: str | None) -> None:
    """Raise `SpecError` for a model whose answers have no label."""
    from ml.inference.watched_inputs import check_watched

    if findings := check_watched(f"{name}@{version}", task):
        raise SpecError.of(findings)


def send(name: str, model: LoadedModel, body: FeedbackSend) -> Feedback:
    """Store the label of an input.

    Raises `NotFound`, `ProblemError` 404 for a request that is not recorded, `SpecError` for an unknown label, and
    `InputError`.
    """
    check_task(name, model.served.version, model.served.task)
    labels = model.predictor.manifest.labels or []
    if body.label not in labels and not body.new_label:
        hint = "Send `new_label: true` if it is a new one."
        raise SpecError.of([unknown("label", body.label, labels, path="label", default_hint=hint)])
    with transaction() as session:
        # Neither for an id, which `model` was loaded by, nor for a name without versions: nobody would look there.
        models.latest(session, name)
        answer: dict[str, Any] = {}
        if body.request_id is not None:
            record = _find_record(session, name, body.request_id, body.position)
            assert record.input is not None, "records without an input are refused"
            content = record.input
            answer = {"request_id": record.request_id, "version": record.version, "predicted": record.label}
        else:
            content = _read_input(model, body.input)
        row, previous = feedback.add(
            session,
            name,
            content=content,
            input_sha256=hashlib.sha256(content).hexdigest(),
            label=body.label,
            **answer,
        )
        return Feedback(
            id=row.id,
            model=name,
            label=row.label,
            previous_label=previous,
            is_repeated=previous == row.label,
            request_id=row.request_id,
            version=row.version,
            predicted=row.predicted,
            created_at=row.created_at,
        )


def _read_input(model: LoadedModel, raw_input: Any) -> bytes:
    from ml.inference.watched_inputs import to_stored_input

    adapter = model.predictor.adapter
    try:
        stored = to_stored_input(adapter, raw_input, {})
        adapter.read(stored, parameters={})
    except InputError as error:
        raise error.with_paths(lambda path: f"input.{path}".rstrip(".")) from None
    return orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)


def _find_record(session: Session, name: str, request_id: str, position: int) -> RequestRecord:
    record = records.find(session, name, request_id, position)
    if record is not None and record.input is not None:
        return record
    watch = watches.find(session, name)
    if watch is None or watch.keep == watches.OFF:
        reason = f"Nothing of the requests of {name} is recorded. Send PUT /api/v1/models/{name}/watch with keep `rows`"
    elif watch.keep == watches.SKETCHES:
        reason = f"The watch of {name} keeps sketches, without inputs. Set keep to `rows`"
    else:
        days, rows = watch.options["max_days"], watch.options["max_rows"]
        reason = (
            f"Request {request_id!r} has no recorded input {position}: the watch records a fraction of "
            f"{watch.fraction:g} within a second, and keeps {rows:,} rows for {days:g} days"
        )
    raise ProblemError(404, "not_found", f"{reason}; or send the `input` itself.")


def list_candidates(name: str, *, limit: int) -> LabelCandidates:
    """Return the recorded inputs that are most useful to label; raises `NotFound` and `SpecError`."""
    import numpy as np

    from ml.evaluation.label_candidates import choose_candidates

    with reading() as session:
        model = models.version(session, name)
        check_task(name, model.version, model.task)
        labeled = feedback.hashes(session, name)
        rows = _list_unlabeled(session, name, labeled)
        vectors = [np.frombuffer(row.embedding, np.float32) if row.embedding else row.statistics for row in rows]
        # Versions may differ in their embeddings; statistics are the same for all.
        if len({len(vector) for vector in vectors}) > 1:
            vectors = [row.statistics for row in rows]
        confidences = np.array([row.confidence for row in rows])
        chosen = choose_candidates(np.array(vectors, np.float64), confidences, count=limit) if rows else []
        inputs = records.inputs(session, [rows[index].id for index in chosen])
    data = [_to_candidate(rows[index], inputs[rows[index].id]) for index in chosen if rows[index].id in inputs]
    return LabelCandidates(model=name, labels=model.labels or [], data=data)


def _list_unlabeled(session: Session, name: str, labeled: set[str]) -> list[RequestRecord]:
    """Return the newest records whose input has no feedback, each input once."""
    rows = records.newest(session, name, limit=MAX_POOL)
    hashes: dict[str, str] = {}
    for start in range(0, len(rows), INPUTS_PER_READ):
        inputs = records.inputs(session, [row.id for row in rows[start : start + INPUTS_PER_READ]])
        hashes |= {record_id: hashlib.sha256(content).hexdigest() for record_id, content in inputs.items()}
    first = {digest: row for row in reversed(rows) if (digest := hashes.get(row.id)) and digest not in labeled}
    return list(first.values())


def _to_candidate(row: RequestRecord, content: bytes) -> LabelCandidate:
    return LabelCandidate(
        request_id=row.request_id,
        position=row.position,
        input=orjson.loads(content),
        version=row.version,
        predicted=row.label,
        confidence=row.confidence,
        created_at=row.created_at,
    )


def create_dataset(session: Session, name: str, body: FeedbackDatasetCreate) -> FeedbackDataset:
    """Start the job that makes a dataset of feedback; raises `NotFound`, `Conflict` and `SpecError`."""
    from ml.inference.watched_inputs import WATCHED_TASKS

    model = models.version(session, name)
    check_task(name, model.version, model.task)
    source = collection.find_source(session, name, body.dataset)
    row = collection.collect(
        session, name, source, column=WATCHED_TASKS[model.task or ""], rehearsal_rows=body.rehearsal_rows
    )
    return FeedbackDataset(
        id=row.id,
        dataset=datasets.reference_of(row),
        origin=datasets.reference_of(source),
        feedback=feedback.count(session, name),
    )
