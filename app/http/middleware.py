"""The gate: what every request passes before anything of it is read. Pure ASGI, outermost.

A request id, then the Host, then the key, then the announced size; only then does the body begin to arrive, counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from anyio import to_thread
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from app.event_log import EventLogger, bind_fields
from app.http import access_log
from app.http.errors import ProblemError, internal_error, problem_response, to_problem_error
from app.http.request_body import Body, too_large
from app.ttl_cache import TtlCache
from store import api_keys as stored_keys
from store.database import transaction

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.metrics.registry import MetricsRegistry
    from app.settings import AppSettings

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
OPEN_PREFIX = "/static/"

RESPONSE_HEADERS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""What every answer says unless its route says otherwise."""
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_HOSTS: Final = 64
CLIENT_LEFT: Final = 499
"""What logs and metrics call a request whose client did not wait for the answer."""

_log = EventLogger("plinth.access")


class ApiKeyCache(TtlCache[bytes, str]):
    """Ids of API keys by secret; a secret is verified again every `seconds`, so that revoking it takes effect.

    Stores SHA-256 digests, never the secrets themselves.
    """

    MAX_KEYS: Final = 1024

    def __init__(self, *, seconds: float) -> None:
        super().__init__(
            _verify,
            ttl_seconds=seconds,
            max_entries=self.MAX_KEYS,
            fingerprint=lambda secret: hashlib.sha256(secret).digest(),
            ignored_errors=(DBAPIError,),
        )

    async def find(self, secret: str) -> str | None:
        """Return the id of a key by its secret; None for a secret that is unknown or revoked."""
        try:
            return await self.get_fresh(secret.encode())
        except LookupError:
            return None


class GatewayMiddleware:
    """Stands around the whole application."""

    def __init__(self, *, settings: AppSettings, api_keys: ApiKeyCache, metrics: MetricsRegistry) -> None:
        self._settings = settings
        self._api_keys = api_keys
        self._metrics = metrics
        self._answers_to: set[bytes] = set()
        """Hosts that were found to be ours."""
        self._names = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application behind the gate."""

        async def pass_through(scope: Scope, receive: Receive, send: Send) -> None:
            await self._pass(app, scope, receive, send)

        return pass_through

    async def _pass(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; nothing that goes wrong inside leaves without a problem document."""
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        with bind_fields(request_id=request_id):
            await self._answer(app, scope, headers, receive, _Answer(send, request_id))

    async def _answer(self, app: ASGIApp, scope: Scope, headers: Headers, receive: Receive, answer: _Answer) -> None:
        limit = self._limit_bytes(scope["path"])
        length = headers.get("content-length", "")
        body = Body(
            receive,
            answer.send,
            length=int(length) if length.isdecimal() else None,
            chunked="transfer-encoding" in headers,
            limit_bytes=limit,
            idle_seconds=self._settings.body_idle_timeout_seconds,
        )
        started = time.perf_counter()
        try:
            self._check_host(headers)
            await self._check_key(scope, headers)
            if length.isdecimal() and int(length) > limit:
                raise too_large(limit)
            _check_coding(headers)
            await app(scope, body.receive, body.send)
        except ProblemError as refused:
            await self._refuse(scope, body, answer, refused)
        except ClientDisconnect:
            answer.status = answer.status or CLIENT_LEFT
        except asyncio.CancelledError:
            # Only the end of the process does that, to what was not answered in the time that it waits.
            detail = "The service was stopped before this was answered. Send it again in a moment."
            stopped = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "stopped", detail, headers={"Retry-After": "1"})
            await self._refuse(scope, body, answer, stopped)
        except Exception as error:
            self.log_failure(error, method=scope["method"], path=scope["path"], request_id=answer.request_id)
            await self._refuse(scope, body, answer, internal_error(answer.request_id))
        finally:
            self._note(scope, answer, time.perf_counter() - started)

    async def _refuse(self, scope: Scope, body: Body, answer: _Answer, refused: ProblemError) -> None:
        if not answer.status:
            await problem_response(answer.request_id, refused)(scope, body.receive, body.send)

    def _note(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self.note(
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=answer.status,
            seconds=seconds,
            key_id=scope["state"].get("key_id"),
            request_id=answer.request_id,
        )

    def note(
        self,
        *,
        method: str,
        path: str,
        route: str,
        status: int,
        seconds: float,
        key_id: str | None,
        request_id: str,
    ) -> None:
        """Count a request that was answered, and write it down."""
        self._metrics.requests.observe(method=method, route=route, status=status, seconds=seconds)
        if path not in QUIET_PATHS:
            access_log.request(
                method=method, path=path, status=status, seconds=seconds, key=key_id, request_id=request_id
            )

    def log_failure(self, error: Exception | None, *, method: str, path: str, request_id: str) -> None:
        """Log a failure that the client did not cause."""
        _log.error("failed", method=method, path=path, request_id=request_id, exc_info=error)

    def opens_at_once(self, host: bytes, authorization: bytes) -> str | None:
        """The id of the key, where neither name nor key has to be looked up; None says nothing against them."""
        if host not in self._answers_to:
            return None
        scheme, _, secret = authorization.partition(b" ")
        return self._api_keys.peek(secret) if scheme == b"Bearer" else None

    def _limit_bytes(self, path: str) -> int:
        if path.startswith("/predict/"):
            return self._settings.max_predict_bytes
        if path == "/api/v1/datasets" or path.startswith("/api/v1/uploads"):
            return self._settings.max_upload_bytes
        return self._settings.max_json_bytes

    def _check_host(self, headers: Headers) -> None:
        """A page of another origin may make its name point here (DNS rebinding); then the Host header tells on it.

        Where there is none, as in HTTP/1.0, no browser asks.
        """
        host = headers.get("host", "")
        encoded = host.encode("latin-1")
        if encoded in self._answers_to or "host" not in headers:
            return
        self._check_name(host)
        if len(self._answers_to) < MOST_HOSTS:
            self._answers_to.add(encoded)

    def _check_name(self, host: str) -> None:
        name = (host.rpartition(":")[0] if re.search(r":\d*$", host) else host).strip("[]").lower()
        if "*" in self._names or name in self._names or name == "localhost" or name.endswith(".localhost"):
            return
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not self._names and not is_loopback(self._settings.host):
                return
            detail = f"This service does not answer to the name {name[:100]!r}. Add it to PLINTH_ALLOWED_HOSTS."
            raise ProblemError(400, "unknown_host", detail) from None

    async def _check_key(self, scope: Scope, headers: Headers) -> None:
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIX):
            return
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        challenge = {"WWW-Authenticate": 'Bearer realm="plinth"'}
        if scheme.lower() != "bearer" or not secret.strip():
            detail = "Send your key as 'Authorization: Bearer <key>'; `plinth up` prints it."
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_missing", detail, headers=challenge)
        try:
            key_id = await self._api_keys.find(secret.strip())
        except DBAPIError as error:
            raise to_problem_error(error) from error
        if key_id is None:
            detail = "This key is not known or was revoked. `plinth keys create` makes another."
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_unknown", detail, headers=challenge)
        scope["state"]["key_id"] = key_id


class _Answer:
    """Remembers the status, and adds the headers every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            for name, value in RESPONSE_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _check_coding(headers: Headers) -> None:
    """What is packed would be taken for what it is not; to unpack it, an unknown amount of it, is for nobody's good."""
    coding = headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        detail = f"Send the body as it is, without 'Content-Encoding: {coding[:40]}'."
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_coding", detail, headers={"Accept-Encoding": "identity"}
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def choose_request_id(asked: str) -> str:
    """The client's own, where it is a sound one."""
    return asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(16)


async def _verify(secret: bytes) -> str:
    """Return the id of a key; raises `LookupError` for a secret that is unknown or revoked."""
    return await to_thread.run_sync(_key_id, secret.decode())


def _key_id(secret: str) -> str:
    with transaction() as session:
        key = stored_keys.verify(session, secret)
        if key is None:
            raise LookupError("no such API key")
        return key.id
