"""`Idempotency-Key`: executes a repeated POST once, and repeats its response."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Final, TypeAlias

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.http.errors import ProblemError
from store import idempotency

#: Header of a response that was stored for an earlier request.
REPLAYED: Final = "Idempotent-Replayed"

_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text; a request that is sent again with the same key and body is executed once.",
    ),
]

#: The created resource, and headers of the response.
Created: TypeAlias = tuple[BaseModel, Mapping[str, str]]


class IdempotentRequest:
    """A request that may carry an `Idempotency-Key`."""

    def __init__(self, request: Request, idempotency_key: _Key = None) -> None:
        self.key = idempotency_key
        self._path = f"{request.method} {request.url.path}"

    def respond(
        self,
        session: Session,
        *,
        body: bytes,
        status: int,
        create: Callable[[], Created],
        redact: Callable[[BaseModel], BaseModel] = lambda resource: resource,
    ) -> Response:
        """Return the stored response of the key, or call `create` and store its response.

        `redact` removes what must not be stored. An exception of `create` is not stored. Raises `ProblemError` 422
        if the key was sent with another body, and 409 if the earlier request is in progress.
        """
        if self.key is None:
            resource, headers = create()
            return _to_response(resource.model_dump_json(), status, headers)
        fingerprint = hashlib.sha256(self._path.encode() + b"\n" + body).hexdigest()
        stored = idempotency.find(session, self.key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                detail = "This Idempotency-Key was sent before with another request. Use a new key."
                raise ProblemError(422, "idempotency_key_reused", detail)
            return _to_response(stored.body, stored.status, {**stored.headers, REPLAYED: "true"})
        resource, headers = create()
        try:
            body_to_store = redact(resource).model_dump_json()
            idempotency.save(
                session, self.key, fingerprint=fingerprint, status=status, headers=dict(headers), body=body_to_store
            )
            session.flush()
        except IntegrityError:
            detail = "A request with this Idempotency-Key is in progress. Send it again in a moment."
            raise ProblemError(409, "idempotency_key_in_use", detail) from None
        return _to_response(resource.model_dump_json(), status, headers)


def _to_response(content: str, status: int, headers: Mapping[str, str]) -> Response:
    return Response(content, status, dict(headers), "application/json")


IdempotentRequestDep = Annotated[IdempotentRequest, Depends(IdempotentRequest)]
