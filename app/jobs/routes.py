"""Routes of jobs: start, watch, control."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Body, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from app.dependencies import NAME, REFERENCE, BlobsDep, IdPrefix, JobId, SessionDep, read_catalog
from app.http import links
from app.http.errors import problem_responses
from app.http.pagination import Cursor, Limit, ListOf, NumberCursor
from app.http.request_body import JSONRoute
from app.jobs import schemas, service
from app.jobs.descriptions.report_summary import summarize
from app.jobs.predictions import JSON_LINES, PARQUET, respond_with_predictions
from app.jobs.stream import MEDIA_TYPE, stream
from app.jobs.submission import JobSubmissionDep, check_priority
from app.polling import WaitSeconds, poll
from app.ranges import IfRange, RangeHeader
from store import job_events, jobs
from store.blobs import Blobs
from store.blobs import blobs as configured_blobs
from store.blobs.parts import predictions_key
from store.database import after_commit, reading
from store.settings import store_settings


class SpecRoute(JSONRoute):
    """A route whose body is a spec.

    Reports all misspelled fields and unknown names of an invalid spec.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that checks the rest of a body that cannot be parsed."""
        handle = super().get_route_handler()

        async def handle_spec(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                if isinstance(error.body, dict) and all(item["loc"][:1] == ("body",) for item in error.errors()):
                    body = error.body
                    await to_thread.run_sync(
                        lambda: service.reject_invalid(body, catalog=read_catalog(), blobs=configured_blobs())
                    )
                raise

        return handle_spec


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=SpecRoute)

_PRETRAIN = {
    "kind": "pretrain",
    "dataset": "mnist",
    "objective": "contrastive_views",
    "architecture": {"name": "cnn", "config": {"preset": "small"}},
    "schedule": {"epochs": 5, "batch_size": 256, "optimizer": "adamw", "learning_rate": 0.002},
    "model": "digits-base",
}
_FINETUNE = {
    "kind": "finetune",
    "dataset": "mnist",
    "task": "image_classification",
    "start_from": "digits-base",
    "schedule": {"epochs": 10, "early_stopping": {"monitor": "validation/loss", "patience": 5}},
    "model": "digits",
}
_SCRATCH = {
    "kind": "finetune",
    "dataset": "mnist",
    "task": "image_classification",
    "architecture": "cnn",
    "model": "digits",
}
_SWEEP = {
    "kind": "sweep",
    "job": _FINETUNE,
    "space": {"schedule.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "schedule.batch_size": [64, 128]},
    "budget": {"trials": 16},
}
_EXPORT = {"kind": "export", "model": "reviews@1", "format": "huggingface"}
_EXPORT_ONNX = {"kind": "export", "model": "digits@1", "format": "onnx"}
_EVALUATE = {"kind": "evaluate", "model": "digits@1", "dataset": "mnist", "split": "test"}
_BATCH_PREDICT = {"kind": "batch_predict", "model": "digits@1", "dataset": "mnist"}
_REPRODUCE = {"kind": "reproduce", "job": "job_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"}
_PRUNE = {"kind": "prune", "model": "digits@1", "dataset": "mnist", "operations": 0.25, "result": "digits-small"}
_RECOMMEND = {"kind": "recommend", "dataset": "mnist", "task": "image_classification"}
_EXAMPLES: Any = {
    "finetune": {"summary": "Fine-tune a base model", "value": _FINETUNE},
    "pretrain": {"summary": "Pretrain a base model without labels", "value": _PRETRAIN},
    "from_scratch": {"summary": "Train a task from scratch, by the recipe of the catalog", "value": _SCRATCH},
    "sweep": {"summary": "Search for the settings of a fine-tuning", "value": _SWEEP},
    "export": {"summary": "Export a BERT, GPT or ResNet model to a Hugging Face folder", "value": _EXPORT},
    "evaluate": {"summary": "Evaluate a model on any dataset that fits", "value": _EVALUATE},
    "batch_predict": {"summary": "Predict every row of a dataset", "value": _BATCH_PREDICT},
    "reproduce": {"summary": "Repeat a training, and compare its weights bit for bit", "value": _REPRODUCE},
    "prune": {"summary": "Remove channels, heads and hidden units of a model", "value": _PRUNE},
    "recommend": {"summary": "Compare base models on a dataset", "value": _RECOMMEND},
    "export_onnx": {"summary": "Export to ONNX graphs that run with ONNX Runtime alone", "value": _EXPORT_ONNX},
}

SpecBody = Annotated[service.AnySpec, Body(openapi_examples=_EXAMPLES)]
ValidateOnly = Annotated[bool, Query(description="Check the spec without starting a job.")]
Measure = Annotated[
    bool,
    Query(
        description="With `validate_only`: train a few steps in a process of its own, and tell time, memory and disk "
        "of the whole training. It takes up to 20 seconds, once for a spec."
    ),
]
PriorityOfJob = Annotated[
    schemas.JobPriority | None,
    Query(
        description="Jobs of a higher priority start first; `high` needs a key of the scope `admin`. By default "
        "`normal`, or that of the job that is repeated."
    ),
]
_CLONE_EXAMPLES: Any = {
    "longer": {"summary": "The same for more epochs", "value": {"schedule": {"epochs": 30}}},
    "newer_data": {"summary": "The same on the latest version of the dataset", "value": {"dataset": "mnist"}},
    "other_architecture": {"summary": "Another architecture", "value": {"architecture": "resnet", "model": "digits2"}},
}
ChangesBody = Annotated[
    dict[str, Any],
    Body(
        openapi_examples=_CLONE_EXAMPLES,
        description="Fields of the spec to change, as a JSON merge patch (RFC 7396): null removes a field.",
    ),
]
UpdateBody = Annotated[
    schemas.JobUpdate,
    Body(openapi_examples={"first": {"summary": "Before all other jobs", "value": {"priority": "high"}}}),
]
States = Annotated[
    list[schemas.JobStateFilter] | None,
    Query(alias="state", description="One or several states; `paused` are queued jobs that were paused."),
]
Kinds = Annotated[list[schemas.JobKind] | None, Query(alias="kind", description="One or several kinds.")]
OfModel = Annotated[
    str | None,
    Query(pattern=REFERENCE, max_length=200, description="Only jobs that make this model, or `name@3` of it."),
]
OfDataset = Annotated[
    str | None, Query(pattern=REFERENCE, max_length=200, description="Only jobs of this dataset: `name`, `name@2`, id.")
]
OfOwner = Annotated[
    str | None, Query(pattern=NAME, max_length=100, description="Only jobs of this API key, by its name or id.")
]
OfSweep = Annotated[
    str | None, Query(pattern=REFERENCE, max_length=100, description="Only the trials of this sweep, by its id.")
]
MetricName = Annotated[str, Field(max_length=100, pattern="^[A-Za-z0-9_./-]+$")]
Names = Annotated[list[MetricName] | None, Query(alias="name", max_length=100, description="Only these metrics.")]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,9}$", description="Continue after this event.")
]

_BINARY = {"type": "string", "format": "binary"}
_STREAM_RESPONSE: Any = {
    200: {
        "description": "A list; or, for `Accept: text/event-stream`, a stream of events that ends with `event: end`.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


_CHECKED: Any = {200: {"model": schemas.CheckedSpec, "description": "With `validate_only`."}}
_STARTED: Any = {
    202: {"links": links.JOB},
    **problem_responses(
        "invalid_spec", "conflict", "damaged", "invalid_package", "quota_reached", "storage_unavailable"
    ),
}
_STARTED_AGAIN: Any = {
    202: {"links": links.JOB},
    **problem_responses(
        "not_found", "conflict", "invalid_spec", "damaged", "invalid_package", "quota_reached", "storage_unavailable"
    ),
}


@router.post("", status_code=202, response_model=schemas.Job, responses={**_CHECKED, **_STARTED})
def create_job(
    spec: SpecBody,
    submission: JobSubmissionDep,
    validate_only: ValidateOnly = False,
    measure: Measure = False,
    priority: PriorityOfJob = None,
) -> Response:
    """Start a job. An invalid spec is rejected at once, with every reason."""
    resolve = partial(service.resolve_spec, submission.session, spec)
    body = spec.model_dump_json().encode()
    return submission.respond(resolve, body=body, validate_only=validate_only, measure=measure, priority=priority)


@router.get("")
def list_jobs(
    session: SessionDep,
    state: States = None,
    kind: Kinds = None,
    model: OfModel = None,
    dataset: OfDataset = None,
    id_prefix: IdPrefix = None,
    parent: OfSweep = None,
    owner: OfOwner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[schemas.Job]:
    """List all jobs, newest first.

    Validations of datasets are listed only for `kind=validate`, and the trials of a sweep only for `parent`.
    """
    matching = jobs.JobFilter(
        states=state, kinds=kind, model=model, dataset=dataset, id_prefix=id_prefix, parent=parent, owner=owner
    )
    return service.to_responses(session, jobs.listing(session, matching=matching, limit=limit, cursor=cursor))


@router.get("/{job_id}", responses=problem_responses("not_found"))
async def read_job(job_id: JobId, request: Request, wait: WaitSeconds = 0) -> schemas.Job:
    """Read the current state of a job.

    With `wait`, the response comes once the job has ended, or after that many seconds.
    """

    def read_state() -> str:
        with reading() as session:
            return jobs.get(session, job_id).state

    def read() -> schemas.Job:
        with reading() as session:
            return service.to_response(session, jobs.get(session, job_id))

    if wait:
        # The position in a long queue is not read again and again.
        await poll(read_state, until=schemas.FINAL_STATES.__contains__, request=request, seconds=wait)
    return await to_thread.run_sync(read)


@router.patch("/{job_id}", responses=problem_responses("not_found", "conflict"))
def update_job(job_id: JobId, body: UpdateBody, request: Request, session: SessionDep) -> schemas.Job:
    """Change the priority of a job that has not ended.

    Trials follow their sweep. `high` needs a key of the scope `admin`.
    """
    check_priority(request.state.access, body.priority)
    return service.to_response(session, jobs.set_priority(session, job_id, body.priority))


@router.delete("/{job_id}", status_code=204, responses=problem_responses("not_found", "conflict"))
def delete_job(job_id: JobId, session: SessionDep, blobs: BlobsDep) -> None:
    """Delete an ended job with its events, metrics, logs, report, checkpoints and trials.

    Fails with 409 while the job has not ended, and while a model or dataset that it made exists.
    """
    for removed_id in jobs.remove(session, job_id):
        after_commit(session, partial(_delete_files, removed_id, blobs))


def _delete_files(job_id: str, blobs: Blobs) -> None:
    (store_settings().home / "logs" / f"{job_id}.log").unlink(missing_ok=True)
    blobs.delete(f"runs/{job_id}")
    blobs.delete(predictions_key(job_id))


@router.post("/{job_id}/retry", status_code=202, response_model=schemas.Job, responses=_STARTED_AGAIN)
def retry_job(job_id: JobId, submission: JobSubmissionDep, priority: PriorityOfJob = None) -> Response:
    """Start a failed or canceled job again, as a new job with the same spec.

    The versions of dataset and models and every default stay as they were.
    """
    resolve = partial(service.resolve_retry, submission.session, job_id)
    return submission.respond(resolve, body=b"", origin_id=job_id, priority=priority)


@router.post("/{job_id}/clone", status_code=202, response_model=schemas.Job, responses={**_CHECKED, **_STARTED_AGAIN})
def clone_job(
    job_id: JobId,
    changes: ChangesBody,
    submission: JobSubmissionDep,
    validate_only: ValidateOnly = False,
    priority: PriorityOfJob = None,
) -> Response:
    """Start a job like an earlier one, with changes.

    The changes are merged into the spec as it was sent, with the versions of dataset and models that it had then;
    defaults are filled in anew.
    """
    resolve = partial(service.resolve_clone, submission.session, job_id, changes)
    body = json.dumps(changes, sort_keys=True).encode()
    return submission.respond(resolve, body=body, validate_only=validate_only, origin_id=job_id, priority=priority)


@router.post("/{job_id}/cancel", status_code=202, responses=problem_responses("not_found", "conflict"))
def cancel_job(job_id: JobId, session: SessionDep) -> schemas.Job:
    """Cancel a job. Its results are discarded, except predictions that are done."""
    return service.to_response(session, jobs.cancel(session, job_id))


@router.post("/{job_id}/stop", status_code=202, responses=problem_responses("not_found", "conflict"))
def stop_job(job_id: JobId, session: SessionDep) -> schemas.Job:
    """Stop training early, restore the best weights, evaluate and register the model.

    A prediction of many rows ends with those that are done.
    """
    return service.to_response(session, jobs.stop(session, job_id))


@router.post("/{job_id}/pause", status_code=202, responses=problem_responses("not_found", "conflict"))
def pause_job(job_id: JobId, session: SessionDep) -> schemas.Job:
    """Pause a job: save a checkpoint and free the worker."""
    return service.to_response(session, jobs.pause(session, job_id))


@router.post("/{job_id}/resume", status_code=202, responses=problem_responses("not_found", "conflict"))
def resume_job(job_id: JobId, session: SessionDep) -> schemas.Job:
    """Resume a paused job from its checkpoint."""
    return service.to_response(session, jobs.resume(session, job_id))


@router.get(
    "/{job_id}/events",
    response_model=ListOf[schemas.Event],
    responses={**_STREAM_RESPONSE, **problem_responses("not_found")},
)
def read_job_events(
    job_id: JobId, request: Request, limit: Limit = 50, cursor: NumberCursor = None, last_event_id: LastEventId = None
) -> Any:
    """List the events of a job, oldest first, or stream them.

    ```sh
    curl -N -H "Authorization: Bearer $PLINTH_API_KEY" -H "Accept: text/event-stream" \\
      http://127.0.0.1:8000/api/v1/jobs/job_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c/events
    ```
    """
    after = int(last_event_id or cursor or 0)
    with reading() as session:
        jobs.get(session, job_id)
        if MEDIA_TYPE in request.headers.get("accept", ""):
            state = request.app.state
            return stream(job_id, after=after, changes=state.job_changes, stopping=state.stopping)
        return service.event_page(session, job_id, after=after, limit=limit)


@router.get("/{job_id}/metrics", responses=problem_responses("not_found"))
def read_job_metrics(
    job_id: JobId,
    session: SessionDep,
    name: Names = None,
    max_points: Annotated[
        int,
        Query(ge=2, le=100_000, description="Maximum number of points per metric; longer curves are thinned evenly."),
    ] = 1000,
) -> dict[str, list[schemas.Point]]:
    """Read the curves of metrics as pairs of step and value.

    The catalog describes the metrics.
    """
    jobs.get(session, job_id)
    curves = job_events.metrics(session, job_id, names=name, max_points=max_points)
    return {metric: [list(point) for point in curve] for metric, curve in curves.items()}


@router.get("/{job_id}/checkpoints", responses=problem_responses("not_found"))
def list_job_checkpoints(job_id: JobId, session: SessionDep) -> ListOf[schemas.Checkpoint]:
    """List the checkpoints from which the job can resume."""
    jobs.get(session, job_id)
    return ListOf(data=[schemas.Checkpoint.of(row) for row in jobs.checkpoints(session, job_id)])


@router.get("/{job_id}/logs", responses=problem_responses("not_found"))
def read_job_logs(
    job_id: JobId, session: SessionDep, limit: Limit = 50, cursor: NumberCursor = None
) -> ListOf[schemas.LogLine]:
    """List the log lines of a job, oldest first."""
    jobs.get(session, job_id)
    return service.log_page(session, job_id, after=int(cursor or 0), limit=limit)


@router.get("/{job_id}/report", responses=problem_responses("not_found", "conflict"))
def read_job_report(job_id: JobId, session: SessionDep) -> schemas.Report:
    """Read the evaluation on the test split, and that of a trivial baseline."""
    report = service.read_report(jobs.get(session, job_id))
    return schemas.Report.model_validate({**report, "summary": summarize(report)})


@router.get(
    "/{job_id}/predictions",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line for each row, in order; Parquet once a job with that format has succeeded.",
            "content": {JSON_LINES: {"schema": {"type": "string"}}, PARQUET: {"schema": _BINARY}},
        },
        206: {"description": "The range that `Range` requests; `Content-Range` names it and the whole length."},
        304: {"description": "The content is the one that `If-None-Match` names."},
        **problem_responses(
            "not_found", "conflict", "precondition_failed", "range_not_satisfiable", "storage_unavailable"
        ),
    },
)
def download_predictions(
    request: Request,
    job_id: JobId,
    session: SessionDep,
    blobs: BlobsDep,
    range_header: RangeHeader = None,  # noqa: ARG001 - for the document; `respond_with_content` reads the header
    if_range: IfRange = None,  # noqa: ARG001 - as `range_header`
) -> Response:
    """Download the predictions of a job of the kind `batch_predict`.

    A download that broke off is resumed with `Range`, or by `curl -C -`.

    A line has `row` from 1, `split`, `index` in the split from 0, and `output`, or `error` for a row that could not be
    read. While the job runs, and after it was canceled, these are the lines that are done.

    ```sh
    curl -o predictions.jsonl -H "Authorization: Bearer $PLINTH_API_KEY" \\
      http://127.0.0.1:8000/api/v1/jobs/job_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c/predictions
    ```
    """
    return respond_with_predictions(request, jobs.get(session, job_id), blobs)
