"""`Idempotency-Key`: a POST that is sent twice is done once, and answered the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.http.errors import ProblemError
from store import idempotency

REPLAYED = "Idempotent-Replayed"

_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own; the same key with the same body is done once.",
    ),
]

Created = tuple[BaseModel, Mapping[str, str]]
"""What was made, and the headers to say so with."""


class IdempotentRequest:
    """The idempotency of one request."""

    def __init__(self, request: Request, idempotency_key: _Key = None) -> None:
        self.key = idempotency_key
        self._path = f"{request.method} {request.url.path}"

    def answer(
        self,
        session: Session,
        *,
        body: bytes,
        status: int,
        make: Callable[[], Created],
        keep: Callable[[BaseModel], BaseModel] = lambda made: made,
    ) -> Response:
        """Call `make` unless this was answered before; `keep` says what of the answer may be stored.

        Raises `ProblemError` 422 where the key came with another body. What `make` raises is not remembered.
        """
        if self.key is None:
            made, headers = make()
            return _response(made.model_dump_json(), status, headers)
        fingerprint = hashlib.sha256(self._path.encode() + b"\n" + body).hexdigest()
        stored = idempotency.find(session, self.key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                detail = "This Idempotency-Key was sent before with another request. Take a new key."
                raise ProblemError(422, "idempotency_key_reused", detail)
            return _response(stored.body, stored.status, {**stored.headers, REPLAYED: "true"})
        made, headers = make()
        try:
            idempotency.save(
                session,
                self.key,
                fingerprint=fingerprint,
                status=status,
                headers=dict(headers),
                body=keep(made).model_dump_json(),
            )
            session.flush()
        except IntegrityError:
            detail = "The same request is being answered right now. Send it again in a moment."
            raise ProblemError(409, "idempotency_key_in_use", detail) from None
        return _response(made.model_dump_json(), status, headers)


def _response(content: str, status: int, headers: Mapping[str, str]) -> Response:
    return Response(content, status, dict(headers), "application/json")


IdempotentRequestDep = Annotated[IdempotentRequest, Depends(IdempotentRequest)]
