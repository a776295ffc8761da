"""The API reference page: Swagger UI, served without files from other hosts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from plinth.installation import install_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

#: Files that examples of `/predict` name by URL.
SAMPLES: Final = Path(__file__).with_name("samples")

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plinth API</title>
<link rel="stylesheet" href="static/swagger-ui.css">
<link rel="icon" href="static/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="static/swagger-ui-bundle.js"></script>
<script src="static/docs.js"></script>
</body>
</html>
"""

# Highlighting is off: it hangs the page on responses of more than a megabyte.
_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, filter: true,
  persistAuthorization: true, displayRequestDuration: true, defaultModelsExpandDepth: 0, syntaxHighlight: false,
});
"""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs/")
def docs_folder() -> Response:
    """Redirect to the page of Swagger UI."""
    return RedirectResponse("../docs", status_code=308)


@router.get("/docs")
def docs_page() -> Response:
    """Return the page of Swagger UI."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/static/docs.js")
def docs_script() -> Response:
    """Return the script that starts Swagger UI: its policy allows no inline scripts."""
    return Response(_SCRIPT, media_type="text/javascript")


def install(app: FastAPI, document: Callable[[], dict[str, Any]]) -> None:
    """Serve the page, its files, the sample files and the document."""
    app.include_router(router)
    app.mount("/static/samples", StaticFiles(directory=SAMPLES), name="samples")
    app.mount("/static", StaticFiles(directory=_static_files()), name="static")
    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _static_files() -> Path:
    """Return the folder of Swagger UI in the package `fastapi-offline`, without importing it."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"The package fastapi-offline is missing. Install it: {install_command('api')}")
    return Path(spec.origin).parent / "static"
