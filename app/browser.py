"""Requests of browsers: session cookies, origins, and routes without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.routing import Match, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.datastructures import Headers
    from starlette.routing import BaseRoute
    from starlette.types import Scope

COOKIE: Final = "plinth_session"
#: Methods that change nothing.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Values of Sec-Fetch-Site of requests that no page of another origin has sent.
_OWN_SITES: Final = frozenset({"same-origin", "none"})


class PageRoute(Route):
    """A route that is open without a key.

    Its endpoint redirects to the login where it needs a session.
    """


def cookie_name(headers: Headers) -> str:
    """Return the name of the session cookie, which has the port in it.

    All ports of a host share their cookies.
    """
    port = headers.get("host", "").rpartition("]")[2].partition(":")[2]
    return f"{COOKIE}_{port}" if port.isdecimal() else COOKIE


def session_token(headers: Headers) -> str | None:
    """Return the token in the session cookie of a request."""
    name = cookie_name(headers)
    for cookie in headers.get("cookie", "").split(";"):
        key, _, value = cookie.strip().partition("=")
        if key == name and value:
            return value
    return None


def is_own_origin(headers: Headers) -> bool:
    """Return whether a request comes from a page of this service.

    Browsers add these headers to each request that may change something, and no script can forge them.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN_SITES
    origin = headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def wants_html(headers: Headers) -> bool:
    """Return whether a request comes from someone who reads pages, not from a program."""
    return "text/html" in headers.get("accept", "")


def wants_json(headers: Headers) -> bool:
    """Return whether a request comes from a program that reads JSON, and no page."""
    return "application/json" in headers.get("accept", "") and not wants_html(headers)


def has_route(routes: Iterable[BaseRoute], method: str, path: str) -> bool:
    """Return whether a route answers this method and path."""
    scope: Scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in routes)


def needs_no_key(routes: Iterable[BaseRoute], scope: Scope) -> bool:
    """Return whether a path is open: a page, or a path that does not exist."""
    matching = (route for route in routes if route.matches(scope)[0] is not Match.NONE)
    return isinstance(next(matching, None), PageRoute | None)
