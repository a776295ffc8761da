"""Style sheets, ES modules and icons.

Addresses hold a digest, so that browsers keep the files.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

FOLDER: Final = Path(__file__).with_name("static")
PREFIX: Final = "/static/web"
PATH: Final = f"{PREFIX}/{{digest}}/{{name}}"

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: An address never gets other content.
_KEEP: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


@cache
def files() -> Mapping[str, bytes]:
    """Return the content of all files by name."""
    return {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}


@cache
def digest() -> str:
    """Return a digest of all files: modules import each other by relative addresses."""
    content = b"".join(name.encode() + data for name, data in files().items())
    return hashlib.sha256(content).hexdigest()[:12]


def url(name: str) -> str:
    """Return the address of a file."""
    if name not in files():
        raise LookupError(f"app/web/static has no file {name}")
    return f"{PREFIX}/{digest()}/{name}"


def respond(request: Request) -> Response:
    """Return a file; a page of an older version gets the current one, not kept."""
    name = request.path_params["name"]
    if name not in files():
        raise HTTPException(404)
    headers = _KEEP if request.path_params["digest"] == digest() else {}
    return Response(files()[name], headers=headers, media_type=_TYPES[Path(name).suffix])


def favicon(_request: Request) -> Response:
    """Return the icon for browsers that look for it at its usual place."""
    return Response(files()["icon.svg"], media_type=_TYPES[".svg"])
