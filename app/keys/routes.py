"""Routes of API keys: create, list, change, rotate, revoke."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.dependencies import NAME, ApiKeyCacheDep, SessionDep, SettingsDep, first_key, replace_first_key
from app.http import links
from app.http.errors import problem_responses
from app.http.idempotency import Created, IdempotentRequestDep
from app.http.pagination import Cursor, Limit, ListOf
from app.http.request_body import JSONRoute
from app.keys.schemas import Key, KeyCreate, KeyLimits, KeyRotation, NewKey
from store import api_keys
from store.database import after_commit

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], route_class=JSONRoute)

KeyId = Annotated[str, Path(pattern=NAME, max_length=100, examples=["key_0199f2a07c3b7e1a9d5c4b3a2f1e0d9c"])]

_EXAMPLES: Any = {
    "laptop": {"summary": "A key for one machine", "value": {"name": "laptop"}},
    "shop": {
        "summary": "A key of a program that uses some models",
        "value": {"name": "shop", "scope": "predict", "models": ["digits*"], "requests_per_minute": 600},
    },
    "student": {
        "summary": "A key of a person who trains, with quotas",
        "value": {"name": "ann", "scope": "train", "max_jobs": 20, "cpu_seconds_per_day": 14_400},
    },
}
_ROTATION_EXAMPLES: Any = {"day": {"summary": "A day to change clients", "value": {"grace_seconds": 86400}}}
_LIMITS_EXAMPLES: Any = {
    "jobs": {"summary": "At most 20 jobs at once", "value": {"max_jobs": 20}},
    "none": {"summary": "No limit of the rate", "value": {"requests_per_minute": None}},
}
LimitsBody = Annotated[KeyLimits, Body(openapi_examples=_LIMITS_EXAMPLES)]
KeyBody = Annotated[KeyCreate, Body(openapi_examples=_EXAMPLES)]
RotationBody = Annotated[KeyRotation, Body(openapi_examples=_ROTATION_EXAMPLES)]


@router.post("", status_code=201, response_model=NewKey, responses={201: {"links": links.KEY}})
def create_key(body: KeyBody, session: SessionDep, once: IdempotentRequestDep) -> Response:
    """Create an API key. Its secret is in this response and is not stored.

    Without further fields it may do everything, without an end.
    """

    def create() -> Created:
        row, secret = api_keys.create(session, **body.model_dump())
        return NewKey(**Key.of(row).model_dump(), secret=secret), {"Location": f"/api/v1/keys/{row.id}"}

    return once.respond(session, body=body.model_dump_json().encode(), status=201, create=create, redact=_redact)


@router.get("")
def list_keys(request: Request, session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Key]:
    """List all keys, without their secrets."""
    current_id = getattr(request.state, "key_id", None)
    page = api_keys.listing(session, limit=limit, cursor=cursor)
    return ListOf.of(page, lambda row: Key.of(row, current_id=current_id))


@router.patch("/{key_id}", responses=problem_responses("not_found", "conflict"))
def update_key(key_id: KeyId, body: LimitsBody, session: SessionDep, cache: ApiKeyCacheDep) -> Key:
    """Change the limits of a key.

    Fields that are left out stay as they are, and null removes a limit. All API processes follow within a second.
    """
    after_commit(session, cache.clear)
    return Key.of(api_keys.change_limits(session, key_id, **body.model_dump(exclude_unset=True)))


@router.post("/{key_id}/rotate", response_model=NewKey, responses=problem_responses("not_found", "conflict"))
def rotate_key(
    key_id: KeyId,
    body: RotationBody,
    session: SessionDep,
    settings: SettingsDep,
    cache: ApiKeyCacheDep,
    once: IdempotentRequestDep,
) -> Response:
    """Give a key another secret, which is in this response and is not stored.

    The present secret stays valid for `grace_seconds`; an earlier one, and sessions of browsers, end at once. The first
    key of `plinth up` is replaced in its file, too.
    """

    def create() -> Created:
        first = None if settings.api_key is not None else first_key(settings)
        is_first = first is not None and api_keys.has_secret(session, key_id, first)
        row, secret = api_keys.rotate(session, key_id, grace_seconds=body.grace_seconds)
        after_commit(session, cache.clear)
        if is_first:
            after_commit(session, lambda: replace_first_key(secret))
        return NewKey(**Key.of(row).model_dump(), secret=secret), {}

    return once.respond(session, body=body.model_dump_json().encode(), status=200, create=create, redact=_redact)


@router.delete("/{key_id}", status_code=204, responses=problem_responses("not_found"))
def revoke_key(key_id: KeyId, session: SessionDep, cache: ApiKeyCacheDep) -> None:
    """Revoke a key. All API processes reject it within a second."""
    api_keys.revoke(session, key_id)
    after_commit(session, cache.clear)


def _redact(key: BaseModel) -> BaseModel:
    return key.model_copy(update={"secret": None})
