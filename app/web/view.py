"""Views: pages with an address, a template and an ES module."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

VIEWS_PACKAGE: Final = "app.web.views"

#: Values for the template of a view. Raises `store.errors.NotFound` or `ProblemError` for an error page.
Context = Callable[[Request], Mapping[str, Any]]
#: Answers GET requests of who is signed in.
Endpoint = Callable[[Request], Response]


def no_values(_request: Request) -> Mapping[str, Any]:
    """Return no values: the ES module of the view reads everything from the API."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page.

    A module of `app.web.views` defines one as `VIEW`; its template and its ES module have the name of the module:
    `templates/views/jobs.html` and `static/views/jobs.js`.
    """

    #: Heading, title of the window and, with a `place`, entry in the navigation.
    title: str
    #: Address, with parameters as in `/jobs/{job_id}`.
    path: str
    #: Position in the navigation; None for a page that other pages link to.
    place: int | None = None
    #: Path of the entry in the navigation that is marked while this page is shown; None: its own.
    parent: str | None = None
    context: Context = no_values
    #: Further paths of this view, such as downloads.
    routes: Mapping[str, Endpoint] = field(default_factory=dict)


@cache
def views() -> Mapping[str, View]:
    """Return all views by the name of their module."""
    folder = importlib.import_module(VIEWS_PACKAGE)
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    return {name: importlib.import_module(f"{VIEWS_PACKAGE}.{name}").VIEW for name in names}


def navigation() -> Sequence[View]:
    """Return the views of the navigation in their order."""
    listed = [view for view in views().values() if view.place is not None]
    return sorted(listed, key=lambda view: view.place or 0)
