"""From a model that was trained elsewhere to the job that makes it one of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import to_thread

from app.http.errors import ProblemError
from app.http.request_body import read_limited
from app.http.strict_json import strict_json
from app.jobs import service as jobs_service
from app.models.schemas import ModelImport
from app.uploads import form_parsing
from app.uploads import service as uploads
from app.uploads.multipart import read_form
from ml.errors import SpecError, unknown
from ml.spec.interchange import Import
from store import jobs
from store.database import transaction
from store.tables import JobKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from app.http.idempotency import Created, IdempotentRequest
    from app.settings import AppSettings
    from ml.spec.catalog import Catalog
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads

HUB_OFF = (
    "This service does not fetch from the Hugging Face hub. Fetch {name} where there is a network "
    "(`hf download {name} --local-dir folder`) and send a zip of that; or set PLINTH_HUB_TOKEN for API and worker."
)
BELOW = "imports"
"""Where files of a form lie among the blobs until they are a model."""


async def import_from_json(
    request: Request,
    once: IdempotentRequest,
    *,
    catalog: Catalog,
    incoming: PartialUploads,
    blobs: Blobs,
    settings: AppSettings,
) -> Response:
    """The answer to a JSON request, which names an upload or a model of the hub."""
    body = await read_limited(request, form_parsing.MAX_JSON_BYTES)
    asked = form_parsing.validated(ModelImport, strict_json(body), judge=lambda given: check_task(given.task, catalog))
    if asked.hub is not None and settings.hub_token is None:
        raise ProblemError(409, "hub_off", HUB_OFF.format(name=asked.hub))

    def work() -> Response:
        source = None
        if asked.upload is not None:
            key = uploads.complete(incoming, blobs, asked.upload)
            source = {"key": key, "filename": key.rpartition("/")[2]}
        return _create(once, asked, source, fingerprint=form_parsing.fingerprint(asked))

    return await to_thread.run_sync(work)


async def import_from_form(
    request: Request, once: IdempotentRequest, *, catalog: Catalog, incoming: PartialUploads, blobs: Blobs
) -> Response:
    """The answer to a form: its file goes to the disk while it arrives."""
    with form_parsing.scratch(incoming) as folder:
        form = await read_form(request, folder, check_space=incoming.check_space, hashed=once.key is not None)
        fields = _of_fields(form.fields)
        asked = form_parsing.validated(Import, fields, judge=lambda given: check_task(given.task, catalog))
        form_parsing.refuse_without_file(form)
        if len(form.files) > 1:
            detail = f"A model comes as one file, and there are {len(form.files)}. Pack its folder as a zip."
            raise ProblemError(422, "invalid_request", detail)
        fingerprint = form_parsing.fingerprint(asked, form.files)

        def work() -> Response:
            return form_parsing.keep(
                form.files,
                BELOW,
                blobs,
                create=lambda sources: _create(once, asked, sources[0], fingerprint=fingerprint),
            )

        return await to_thread.run_sync(work)


def check_task(task: str | None, catalog: Catalog) -> None:
    """Raises `SpecError` for a task that is unknown."""
    if task is not None and task not in catalog.tasks:
        raise SpecError.of([unknown("task", task, catalog.tasks, path="task")])


def _of_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """What the fields of a form say: what is empty is absent, and labels are JSON."""
    return {
        name: strict_json(value.encode(), field=name) if name == "labels" else value
        for name, value in fields.items()
        if value != ""
    }


def _create(
    once: IdempotentRequest, asked: Import, source: form_parsing.Source | None, *, fingerprint: bytes
) -> Response:
    with transaction() as session:

        def make() -> Created:
            told = asked.model_dump(mode="json", exclude_none=True, exclude={"name"})
            spec = {"kind": JobKind.IMPORT, "model": asked.name, **told, **({"source": dict(source)} if source else {})}
            row = jobs.submit(session, kind=JobKind.IMPORT, spec=spec, model_name=asked.name)
            return jobs_service.to_response(session, row), {"Location": f"/api/v1/jobs/{row.id}"}

        return once.answer(session, body=fingerprint, status=202, make=make)
