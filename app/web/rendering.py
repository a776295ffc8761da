"""Renders templates. Jinja2 is imported at the first page, as most API processes show none."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse

from app.web import static_files
from app.web.view import navigation
from plinth import __version__

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request
    from starlette.responses import Response

TEMPLATES: Final = Path(__file__).with_name("templates")

#: No inline scripts or styles, nothing from other hosts; images and audio may be made in the page.
POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
#: The referrer is sent to this service alone: without it, browsers hide the origin of forms.
HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}


@cache
def environment() -> Environment:
    """Return the templates, with all values escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(asset=static_files.url, imports_of=static_files.imports_of, version=__version__)
    return templates


def render(template: str, **values: Any) -> str:
    """Return the text of a template."""
    return environment().get_template(template).render(**values)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page within the frame of `base.html`.

    `values` has at least the `title`; with a `script`, the page loads that ES module.
    """
    frame = {
        "script": None,
        "current": None,
        "navigation": navigation(),
        "is_signed_in": getattr(request.state, "key_id", None) is not None,
    }
    return HTMLResponse(render(template, **(frame | values)), status, HEADERS)
