"""Login with an API key or a link that works once, and the session cookie."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.browser import PageRoute, cookie_name, is_own_origin, session_token
from app.http.errors import ProblemError
from app.web import rendering
from store import api_keys
from store.database import transaction

if TYPE_CHECKING:
    from starlette.requests import Request

    from app.settings import AppSettings
    from store.api_keys import KeyAccess

#: Largest form of a login.
MAX_FORM_BYTES: Final = 8192
#: Scope of the keys that see the pages, which show all data, jobs and models.
PAGES_SCOPE: Final = "train"
SCOPE_MESSAGE: Final = "This key may only predict. Sign in with a key of the scope train or admin."


def destination(path: str) -> str:
    """Return a path of this service to continue at; `/` for anything else."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


async def show_login(request: Request) -> Response:
    """Show the form; with the token of a link, sign in."""
    target = destination(request.query_params.get("next", "/"))
    if token := request.query_params.get("token"):
        key_id = await to_thread.run_sync(_consume, token)
        if key_id is None:
            message = "This link has been used or has expired. Sign in with your API key."
            return rendering.page(request, "login.html", status=403, title="Sign in", target=target, message=message)
        return await _sign_in(request, key_id, target)
    return rendering.page(request, "login.html", title="Sign in", target=target, message=None)


async def log_in(request: Request) -> Response:
    """Check the API key of the form, and set the session cookie."""
    if not is_own_origin(request.headers):
        raise ProblemError(HTTPStatus.FORBIDDEN, "origin_not_allowed", "Sign in on the page of this service.")
    form = parse_qs(await _body(request))
    target = destination(form.get("next", ["/"])[0])
    access = await request.app.state.api_keys.find(form.get("key", [""])[0].strip())
    if access is None or not access.includes(PAGES_SCOPE):
        message = "This key is unknown, expired or revoked. Enter another." if access is None else SCOPE_MESSAGE
        return rendering.page(request, "login.html", status=403, title="Sign in", target=target, message=message)
    return await _sign_in(request, access.key_id, target)


async def log_out(request: Request) -> Response:
    """End the session, and delete its cookie."""
    if not is_own_origin(request.headers):
        raise ProblemError(HTTPStatus.FORBIDDEN, "origin_not_allowed", "Sign out on the page of this service.")
    if token := session_token(request.headers):
        await to_thread.run_sync(_end, token)
        request.app.state.api_keys.clear()
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(request.headers), path="/", httponly=True, samesite="strict")
    return response


async def create_link(request: Request) -> Response:
    """Return a path that signs in once, for `plinth up` and `plinth open`.

    Needs a key in the header.
    """
    key_id = getattr(request.state, "key_id", None)
    if key_id is None or "authorization" not in request.headers:
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "key_missing", "Send your key as 'Authorization: Bearer <key>'.")
    seconds = request.app.state.settings.sign_in_link_seconds
    token = await to_thread.run_sync(_create, key_id, "link", seconds)
    return JSONResponse({"path": f"/login?token={token}", "expires_in_seconds": seconds}, 201)


def require_scope(access: KeyAccess) -> None:
    """Raise `ProblemError` 403 if a key may not see pages."""
    if not access.includes(PAGES_SCOPE):
        raise ProblemError(HTTPStatus.FORBIDDEN, "insufficient_scope", SCOPE_MESSAGE)


async def _body(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            detail = f"The form has more than {MAX_FORM_BYTES:,} bytes. Send the API key alone."
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
    return body.decode("utf-8", "replace")


async def _sign_in(request: Request, key_id: str, target: str) -> Response:
    settings: AppSettings = request.app.state.settings
    token = await to_thread.run_sync(_create, key_id, "session", settings.session_seconds)
    response = RedirectResponse(target, status_code=303)
    response.set_cookie(
        cookie_name(request.headers),
        token,
        max_age=int(settings.session_seconds),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _create(key_id: str, purpose: api_keys.Purpose, seconds: float) -> str:
    with transaction() as session:
        return api_keys.create_token(session, key_id=key_id, purpose=purpose, seconds=seconds)


def _consume(token: str) -> str | None:
    with transaction() as session:
        return api_keys.consume_link(session, token)


def _end(token: str) -> None:
    with transaction() as session:
        api_keys.end_session(session, token)


ROUTES: Final = (
    PageRoute("/login", show_login, methods=["GET"], name="login"),
    PageRoute("/login", log_in, methods=["POST"], name="log_in"),
    PageRoute("/login/links", create_link, methods=["POST"], name="create_login_link"),
    PageRoute("/logout", log_out, methods=["POST"], name="log_out"),
)
