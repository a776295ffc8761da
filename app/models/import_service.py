"""Starts jobs that import models which were trained elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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

HUB_OFF: Final = (
    "Downloads from the Hugging Face hub are off. Run `hf download {name} --local-dir folder` on a machine with "
    "network access, and upload a zip of the folder; or set PLINTH_HUB_TOKEN for API and worker."
)
#: Prefix of the blobs of files that are to be imported.
IMPORTS: Final = "imports"


async def import_from_json(
    request: Request,
    once: IdempotentRequest,
    *,
    catalog: Catalog,
    partial_uploads: PartialUploads,
    blobs: Blobs,
    settings: AppSettings,
) -> Response:
    """Respond to a JSON request, which names an upload or a model on the hub."""
    body = await read_limited(request, form_parsing.MAX_JSON_BYTES)
    options = form_parsing.parse_options(
        ModelImport, strict_json(body), check=lambda options: check_task(options.task, catalog)
    )
    if options.hub is not None and settings.hub_token is None:
        raise ProblemError(409, "hub_off", HUB_OFF.format(name=options.hub))

    def create() -> Response:
        source = None
        if options.upload is not None:
            key = uploads.complete(partial_uploads, blobs, options.upload)
            source = {"key": key, "filename": key.rpartition("/")[2]}
        return _create(once, options, source, fingerprint=form_parsing.fingerprint(options))

    return await to_thread.run_sync(create)


async def import_from_form(
    request: Request, once: IdempotentRequest, *, catalog: Catalog, partial_uploads: PartialUploads, blobs: Blobs
) -> Response:
    """Respond to a form; its file is written to disk while it arrives."""
    with form_parsing.temporary_folder(partial_uploads) as folder:
        form = await read_form(
            request, folder, check_space=partial_uploads.check_space, with_checksums=once.key is not None
        )
        options = form_parsing.parse_options(
            Import, _parse_fields(form.fields), check=lambda options: check_task(options.task, catalog)
        )
        form_parsing.require_file(form)
        if len(form.files) > 1:
            detail = f"Send one file per model, not {len(form.files)}; send a folder as a zip."
            raise ProblemError(422, "invalid_request", detail)
        fingerprint = form_parsing.fingerprint(options, form.files)

        def create() -> Response:
            return form_parsing.store_files(
                form.files,
                IMPORTS,
                blobs,
                create=lambda sources: _create(once, options, sources[0], fingerprint=fingerprint),
            )

        return await to_thread.run_sync(create)


def check_task(task: str | None, catalog: Catalog) -> None:
    """Raise `SpecError` for an unknown task."""
    if task is not None and task not in catalog.tasks:
        raise SpecError.of([unknown("task", task, catalog.tasks, path="task")])


def _parse_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """Decode form fields: empty ones are absent; `labels` is JSON."""
    return {
        name: strict_json(value.encode(), field=name) if name == "labels" else value
        for name, value in fields.items()
        if value != ""
    }


def _create(
    once: IdempotentRequest, options: Import, source: form_parsing.Source | None, *, fingerprint: bytes
) -> Response:
    with transaction() as session:

        def create() -> Created:
            fields = options.model_dump(mode="json", exclude_none=True, exclude={"name"})
            spec = {"kind": JobKind.IMPORT, "model": options.name, **fields}
            if source:
                spec["source"] = dict(source)
            row = jobs.submit(session, kind=JobKind.IMPORT, spec=spec, model_name=options.name)
            return jobs_service.to_response(session, row), {"Location": f"/api/v1/jobs/{row.id}"}

        return once.respond(session, body=fingerprint, status=202, create=create)
