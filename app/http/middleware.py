"""The gateway: checks every request before its body is read.

It is the outermost middleware, in pure ASGI. In order: request id, Host, preflight, API key with its rate and scope,
announced size. Only then the body is received, with limits on size and time.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from app import client_protocols
from app.browser import SAFE_METHODS, is_own_origin, needs_no_key, session_token
from app.event_log import EventLogger, bind_fields
from app.http import access_log, cors
from app.http.authorization.rate_limits import RateLimiter
from app.http.authorization.scopes import check_access, rule_of
from app.http.errors import ProblemError, internal_error, problem_response, to_problem_error
from app.http.request_body import Body, too_large
from app.serving.access import restrict_models
from store.queue.owner import current_owner
from store.settings import store_settings

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.http.authorization.api_key_cache import ApiKeyCache
    from app.metrics.registry import MetricsRegistry
    from app.settings import AppSettings
    from app.tracing import RequestTracer
    from store.api_keys import KeyAccess

#: Paths that need no API key.
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/docs", "/docs/", "/openapi.json"}) | client_protocols.OPEN_PATHS
OPEN_PREFIX: Final = "/static/"
#: Paths that accept files of any size in a form; their JSON bodies have a limit of their own.
FILE_FORM_PATHS: Final = frozenset({"/api/v1/datasets", "/api/v1/models/import"})
#: Paths that are not in the access log.
UNLOGGED_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"}) | client_protocols.OPEN_PATHS

#: Headers of every response, unless its route sets them.
RESPONSE_HEADERS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
#: Accepted values of the Host header that are remembered.
MAX_CACHED_HOSTS: Final = 64
#: Status in logs and metrics of a request whose client disconnected before the response.
CLIENT_DISCONNECTED: Final = 499

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_log = EventLogger("plinth.access")


class GatewayMiddleware:
    """Wraps the application. It also logs and counts requests, those of the fast path included."""

    def __init__(
        self,
        *,
        settings: AppSettings,
        api_keys: ApiKeyCache,
        metrics: MetricsRegistry,
        routes: Sequence[BaseRoute] = (),
        tracer: RequestTracer | None = None,
    ) -> None:
        """`routes` are all routes of the application: without a key, unknown paths and pages pass."""
        self.tracer = tracer
        self._settings = settings
        self._routes = routes
        self._api_keys = api_keys
        self._metrics = metrics
        self._rates = RateLimiter(store_settings().home / "rate-limits")
        self._allowed_hosts = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
        self._origins = settings.allowed_origins()
        #: Values of the Host header that passed the check.
        self._accepted_hosts: set[bytes] = set()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the application behind the gateway."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            await self._handle(app, scope, receive, send)

        return handle

    async def _handle(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = choose_request_id(headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        sender = self._sender(send, headers, request_id)
        with bind_fields(request_id=request_id):
            if self.tracer is None or scope["path"] in UNLOGGED_PATHS:
                await self._respond(app, scope, headers, receive, sender)
                return
            with self.tracer.trace(scope, headers.get("traceparent"), lambda: sender.status):
                await self._respond(app, scope, headers, receive, sender)

    def _sender(self, send: Send, headers: Headers, request_id: str) -> _ResponseSender:
        return _ResponseSender(send, request_id, origins=self._origins, origin=headers.get("origin", ""))

    async def _respond(
        self, app: ASGIApp, scope: Scope, headers: Headers, receive: Receive, sender: _ResponseSender
    ) -> None:
        """Pass the request on, or respond with a problem document; no exception leaves the gateway."""
        body = self._limited_body(scope, headers, receive, sender)
        start = time.perf_counter()
        try:
            self._check_host(headers)
            if cors.is_preflight(scope["method"], headers):
                response = cors.preflight_response(self._origins, headers)
                await response(scope, body.receive, body.send)
                return
            await self._check_key(scope, headers, sender)
            self._check_length(scope, headers)
            _check_content_encoding(headers)
            await app(scope, body.receive, body.send)
        except ProblemError as error:
            await _send_problem(scope, body, sender, error)
        except ClientDisconnect:
            sender.status = sender.status or CLIENT_DISCONNECTED
        except asyncio.CancelledError:
            # Only a shutdown cancels, and only requests that are not answered within its timeout.
            detail = "The service stopped before it answered. Send the request again in a moment."
            problem = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "stopped", detail, headers={"Retry-After": "1"})
            await _send_problem(scope, body, sender, problem)
        except Exception as error:
            self.log_failure(error, method=scope["method"], path=scope["path"], request_id=sender.request_id)
            await _send_problem(scope, body, sender, internal_error(sender.request_id))
        finally:
            self.log_request(
                method=scope["method"],
                path=scope["path"],
                route=getattr(scope.get("route"), "path", "unknown"),
                status=sender.status,
                seconds=time.perf_counter() - start,
                key_id=scope["state"].get("key_id"),
                request_id=sender.request_id,
            )

    def _limited_body(self, scope: Scope, headers: Headers, receive: Receive, sender: _ResponseSender) -> Body:
        return Body(
            receive,
            sender.send,
            length=_content_length(headers),
            chunked="transfer-encoding" in headers,
            limit_bytes=self._limit_bytes(scope["path"]),
            idle_seconds=self._settings.body_idle_timeout_seconds,
        )

    def log_request(
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
        """Count a request that has been answered, and write it to the access log."""
        self._metrics.requests.observe(method=method, route=route, status=status, seconds=seconds)
        if path not in UNLOGGED_PATHS:
            access_log.request(
                method=method, path=path, status=status, seconds=seconds, key=key_id, request_id=request_id
            )

    def log_failure(self, error: Exception | None, *, method: str, path: str, request_id: str) -> None:
        """Log a failure that the client did not cause."""
        _log.error("request failed", method=method, path=path, request_id=request_id, exc_info=error)

    def peek_key_id(self, host: bytes, authorization: bytes) -> str | None:
        """Return the id of a cached key that may predict with any model.

        None if host or key must be checked, and for a key for some models or with a rate: its requests are judged in
        one place.
        """
        if host not in self._accepted_hosts:
            return None
        scheme, _, secret = authorization.partition(b" ")
        access = self._api_keys.peek(secret) if scheme == b"Bearer" else None
        if access is None or access.models is not None or access.requests_per_minute is not None:
            return None
        return access.key_id

    def _limit_bytes(self, path: str) -> int:
        if path.startswith("/predict/") or client_protocols.protocol_of(path) is not None:
            return self._settings.max_predict_bytes
        if path in FILE_FORM_PATHS or path.startswith("/api/v1/uploads"):
            return self._settings.max_upload_bytes
        return self._settings.max_json_bytes

    def _check_length(self, scope: Scope, headers: Headers) -> None:
        limit_bytes = self._limit_bytes(scope["path"])
        if (_content_length(headers) or 0) > limit_bytes:
            raise too_large(limit_bytes)

    def _check_host(self, headers: Headers) -> None:
        """Reject names of other sites, against DNS rebinding.

        A web page can point its own name to this address, but its requests carry that name. A request without a Host
        header, as in HTTP/1.0, does not come from a browser.
        """
        host = headers.get("host", "")
        encoded = host.encode("latin-1")
        if encoded in self._accepted_hosts or "host" not in headers:
            return
        self._check_host_name(host)
        if len(self._accepted_hosts) < MAX_CACHED_HOSTS:
            self._accepted_hosts.add(encoded)

    def _check_host_name(self, host: str) -> None:
        name = (host.rpartition(":")[0] if re.search(r":\d*$", host) else host).strip("[]").lower()
        allowed = self._allowed_hosts
        if "*" in allowed or name in allowed or name == "localhost" or name.endswith(".localhost"):
            return
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not allowed and not is_loopback(self._settings.host):
                return
            detail = f"{name[:100]!r} is not a name of this service. Add it to PLINTH_ALLOWED_HOSTS."
            raise ProblemError(400, "unknown_host", detail) from None

    async def _check_key(self, scope: Scope, headers: Headers, sender: _ResponseSender) -> None:
        restrict_models(None)
        current_owner.set("")
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIX):
            return
        try:
            access = await self._authenticate(scope, headers)
        except DBAPIError as error:
            raise to_problem_error(error) from error
        except ProblemError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED or not needs_no_key(self._routes, scope):
                raise
            return
        scope["state"]["key_id"], scope["state"]["access"] = access.key_id, access
        restrict_models(access.models)
        current_owner.set(access.key_id)
        self._count(access, sender)
        if access.scope == "admin":
            return
        rule = rule_of(scope["method"], scope["path"])
        # Pages check the scope themselves, and a path that does not exist needs none.
        if rule is not None or not needs_no_key(self._routes, scope):
            check_access(access, rule, scope["path"])

    def _count(self, access: KeyAccess, sender: _ResponseSender) -> None:
        """Count a request of a key with a rate; raises `ProblemError` 429 above it."""
        quota = access.requests_per_minute
        if quota is None:
            return
        state = self._rates.count(access.key_id, quota)
        sender.headers = state.headers()
        if state.retry_seconds:
            detail = f"This key may send {quota:,} requests a minute. Send the next one in {state.retry_seconds} s."
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail)

    async def _authenticate(self, scope: Scope, headers: Headers) -> KeyAccess:
        """Return what the key of a request may do, from its header or cookie."""
        challenge = {"WWW-Authenticate": 'Bearer realm="plinth"'}
        if "authorization" not in headers and (token := session_token(headers)):
            access = await self._api_keys.find_session(token)
            if access is None:
                detail = "The session has ended. Sign in again at /login."
                raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_unknown", detail, headers=challenge)
            if scope["method"] not in SAFE_METHODS and not is_own_origin(headers):
                detail = "A session cookie changes things only from pages of this service. Send a key instead."
                raise ProblemError(HTTPStatus.FORBIDDEN, "origin_not_allowed", detail)
            return access
        secret = _secret_of(headers.get("authorization", ""))
        if not secret:
            detail = "Send your key as 'Authorization: Bearer <key>'; `plinth up` prints it."
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_missing", detail, headers=challenge)
        if (access := await self._api_keys.find(secret)) is None:
            detail = (
                "This key is unknown, expired or revoked. Send another. A restart of `plinth up` replaces its own key "
                "if it is revoked."
            )
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_unknown", detail, headers=challenge)
        return access


class _ResponseSender:
    """Sends a response with the headers that all responses have, and remembers its status."""

    def __init__(self, send: Send, request_id: str, *, origins: Collection[str], origin: str) -> None:
        """`origins` are allowed to read responses; `origin` is that of the request, if any."""
        self._send = send
        self._origins = origins
        self._origin = origin
        self.request_id = request_id
        #: 0 until the response starts.
        self.status = 0
        #: Headers of the rate of the key, if it has one.
        self.headers: Mapping[str, str] = {}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.request_id
            for name, value in RESPONSE_HEADERS.items():
                headers.setdefault(name, value)
            for name, value in self.headers.items():
                headers[name] = value
            cors.add_headers(self._origins, self._origin, headers)
        await self._send(message)


async def _send_problem(scope: Scope, body: Body, sender: _ResponseSender, error: ProblemError) -> None:
    if not sender.status:
        response = problem_response(sender.request_id, error, path=scope["path"])
        await response(scope, body.receive, body.send)


#: The id of an access key in a signature of AWS (version 4).
_AWS_ACCESS_KEY: Final = re.compile(r"(?:^|[\s,])Credential=([^/,\s]+)/")


def _secret_of(authorization: str) -> str:
    """Return the key of an Authorization header; "" without one.

    Clients that know no bearer token send it as the password of any user, and those of AWS as the id of an access key.
    """
    scheme, _, credentials = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            with suppress(ValueError):  # invalid base64 or text
                return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        case "aws4-hmac-sha256":
            if match := _AWS_ACCESS_KEY.search(credentials):
                return match[1]
    return ""


def _content_length(headers: Headers) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _check_content_encoding(headers: Headers) -> None:
    """Reject compressed bodies, whose size would be unknown until they are decompressed.

    A request without a body passes: tritonclient repeats the header after a compressed request.
    """
    if "transfer-encoding" not in headers and not _content_length(headers):
        return
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        detail = f"Send the body uncompressed, without 'Content-Encoding: {encoding[:40]}'."
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_coding", detail, headers={"Accept-Encoding": "identity"}
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def choose_request_id(header: str) -> str:
    """Return the X-Request-Id of the client if valid, else a random one."""
    return header if _REQUEST_ID.fullmatch(header) else secrets.token_hex(16)
