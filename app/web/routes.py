"""Routes of the page: views, files, login, and error pages for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.browser import PageRoute, wants_html, wants_json
from app.http.errors import STATUS_OF, respond_to_page_request, title_of, to_problem_error
from app.web import login, rendering, static_files
from app.web.view import Endpoint, View, views

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request

#: Paths whose errors are problem documents for browsers, too.
API_PREFIXES: Final = ("/api/", "/predict/", "/openapi.json", "/metrics", "/static/")


def install(app: FastAPI) -> None:
    """Add the routes, and show errors as pages to browsers."""
    routes = [*login.ROUTES]
    for name, view in views().items():
        routes.append(PageRoute(view.path, for_readers(signed_in(page_of(name, view))), name=name))
        routes += [PageRoute(path, signed_in(endpoint), name=name) for path, endpoint in view.routes.items()]
    routes.append(PageRoute(static_files.PATH, static_files.respond, name="web_files"))
    routes.append(PageRoute("/favicon.ico", static_files.favicon, name="favicon"))
    app.router.routes.extend(routes)
    error_types: list[type[Exception]] = [HTTPException, *STATUS_OF]
    for error_type in error_types:
        app.add_exception_handler(error_type, _error_page(app.exception_handlers[error_type]))


def page_of(name: str, view: View) -> Endpoint:
    """Return the endpoint that renders a view."""

    def show(request: Request) -> Response:
        frame = {"title": view.title, "script": f"views/{name}.js", "current": view.parent or view.path}
        return rendering.page(request, f"views/{name}.html", **(frame | dict(view.context(request))))

    return show


def signed_in(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that redirects to the login without a session."""

    def respond(request: Request) -> Response:
        if getattr(request.state, "key_id", None) is None:
            return to_login(request)
        login.require_scope(request.state.access)
        return endpoint(request)

    return respond


def for_readers(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that tells programs that they have requested a page."""

    def respond(request: Request) -> Response:
        return respond_to_page_request(request) if wants_json(request.headers) else endpoint(request)

    return respond


def to_login(request: Request) -> Response:
    """Return a redirect to the login, and from there back to this page."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/login?next={quote(request.url.path + query, safe='')}", status_code=303)


def _error_page(respond_to_program: Callable[[Request, Any], Any]) -> Callable[[Request, Exception], Response]:
    """Return a handler that shows browsers an error as a page."""

    def handle(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(API_PREFIXES) or not wants_html(request.headers):
            response: Response = respond_to_program(
                request, error
            )  # all handlers of app.http.errors are plain functions
            return response
        problem = error if isinstance(error, HTTPException) else to_problem_error(error)
        if problem.status_code == 404 and isinstance(error, HTTPException):
            detail = "There is no page at this address."
        else:
            detail = str(problem.detail)
        return rendering.page(
            request, "error.html", status=problem.status_code, title=title_of(problem.status_code), detail=detail
        )

    return handle
