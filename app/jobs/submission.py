"""Job submission: a spec is resolved, then submitted, once per `Idempotency-Key`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import Depends, Request
from starlette.responses import Response

from app.dependencies import BlobsDep, CatalogDep, SessionDep, SettingsDep
from app.http.errors import ProblemError
from app.http.idempotency import Created, IdempotentRequestDep
from app.jobs import schemas, service
from app.jobs.base_proposals import propose_bases
from app.jobs.costs import measure_cost
from app.jobs.descriptions.plan_notes import describe_plan
from store import jobs
from store.tables import PRIORITIES

if TYPE_CHECKING:
    from app.jobs.resolved_spec import ResolvedSpec
    from ml.spec.catalog import Catalog
    from store.api_keys import KeyAccess
    from store.blobs import Blobs
    from store.tables import Priority


class Resolve(Protocol):
    """Makes the spec that a job is started with."""

    def __call__(self, *, catalog: Catalog, blobs: Blobs, allow_noncommercial: bool) -> ResolvedSpec:
        """Return a valid spec; raises `SpecError` with every fault, and the errors of `app.jobs.service`."""


def check_priority(access: KeyAccess, priority: Priority | None) -> None:
    """Raise `ProblemError` 403 for a priority that a key may not set."""
    if priority == "high" and not access.includes("admin"):
        detail = (
            f"The priority high needs a key of the scope admin; this one has {access.scope}. Send the priority normal "
            "or low, or another key."
        )
        raise ProblemError(HTTPStatus.FORBIDDEN, "insufficient_scope", detail)


class JobSubmission:
    """Starts the job of a request."""

    def __init__(
        self,
        session: SessionDep,
        catalog: CatalogDep,
        blobs: BlobsDep,
        once: IdempotentRequestDep,
        settings: SettingsDep,
        request: Request,
    ) -> None:
        self.session = session
        self._catalog = catalog
        self._blobs = blobs
        self._once = once
        self._settings = settings
        self._access: KeyAccess = request.state.access

    def respond(
        self,
        resolve: Resolve,
        *,
        body: bytes,
        validate_only: bool = False,
        measure: bool = False,
        origin_id: str | None = None,
        priority: Priority | None = None,
    ) -> Response:
        """Return the job as the response, or with `validate_only` the resolved spec without starting it.

        With `measure`, too, that comes with the cost of the training.
        `body` tells requests of one `Idempotency-Key` apart; `origin_id` is the job that is repeated, whose priority
        is that of the new one if `priority` is None.
        """
        check_priority(self._access, priority)
        if validate_only:
            resolved = self._resolve(resolve)
            bases = propose_bases(self.session, resolved, catalog=self._catalog, blobs=self._blobs)
            licenses = service.licenses_of(self.session, resolved)
            plan = describe_plan(self.session, resolved)
            # Measuring takes seconds, in which no transaction may be open: it would lock the database.
            self.session.commit()
            cost = measure_cost(resolved) if measure else None
            checked = schemas.CheckedSpec(
                spec=resolved.spec,
                notes=plan.notes,
                epochs=plan.epochs,
                max_epochs=plan.max_epochs,
                expected_seconds=plan.duration.seconds if plan.duration else None,
                expected_from=plan.duration.job_id if plan.duration else None,
                batch_size=plan.batch_size,
                bases=bases,
                licenses=licenses,
                cost=cost,
            )
            return Response(checked.model_dump_json(), media_type="application/json")

        def create() -> Created:
            resolved = self._resolve(resolve)
            actual = priority or self._priority_of(origin_id)
            row = service.submit(self.session, resolved, origin_id=origin_id, priority=actual)
            return service.to_response(self.session, row), {"Location": f"/api/v1/jobs/{row.id}"}

        fingerprint = body if priority is None else b"%b\npriority=%b" % (body, priority.encode())
        return self._once.respond(self.session, body=fingerprint, status=202, create=create)

    def _priority_of(self, origin_id: str | None) -> Priority:
        """Return the priority of the repeated job, if the key may set it."""
        if origin_id is None:
            return "normal"
        priority = PRIORITIES[jobs.get(self.session, origin_id).priority]
        return "normal" if priority == "high" and not self._access.includes("admin") else priority

    def _resolve(self, resolve: Resolve) -> ResolvedSpec:
        return resolve(catalog=self._catalog, blobs=self._blobs, allow_noncommercial=self._settings.allow_noncommercial)


JobSubmissionDep = Annotated[JobSubmission, Depends(JobSubmission)]
