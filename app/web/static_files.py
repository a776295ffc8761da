"""Style sheets, ES modules and icons.

Addresses hold a digest, so that browsers keep the files.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

FOLDER: Final = Path(__file__).with_name("static")
PREFIX: Final = "/static/web"
PATH: Final = f"{PREFIX}/{{digest}}/{{name:path}}"

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: An address never gets other content.
_KEEP: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_IMPORT: Final = re.compile(rb'^import [^;]*?from "(\.[^"]+)";', re.MULTILINE)
_REFUSED: Final = ("q=0", "q=0.0", "q=0.00", "q=0.000")


@cache
def files() -> Mapping[str, bytes]:
    """Return the content of all files by their path in the folder."""
    paths = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in _TYPES)
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in paths}


@cache
def compress(name: str) -> bytes:
    """Return the content of a file, compressed with gzip."""
    return gzip.compress(files()[name], mtime=0)


@cache
def imports_of(script: str) -> Sequence[str]:
    """Return all modules that a module needs, in the order of their first import.

    A page names them in its head: browsers load them side by side, not one after the other.
    """
    modules: dict[str, None] = {}
    waiting = [script]
    while waiting:
        importer = waiting.pop(0)
        names = [resolve(importer, match.decode()) for match in _IMPORT.findall(files()[importer])]
        new = [name for name in names if name not in modules]
        modules.update(dict.fromkeys(new))
        waiting += new
    return list(modules)


def resolve(script: str, address: str) -> str:
    """Return the path of the module that a script imports by a relative address."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(script), address))


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
    headers = {"Vary": "Accept-Encoding"} | (_KEEP if request.path_params["digest"] == digest() else {})
    content = files()[name]
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        content = compress(name)
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the header Accept-Encoding of a request allows gzip."""
    codings = (coding.partition(";") for coding in accept_encoding.split(","))
    return any(name.strip().lower() == "gzip" and weight.strip() not in _REFUSED for name, _, weight in codings)


def favicon(_request: Request) -> Response:
    """Return the icon for browsers that look for it at its usual place."""
    return Response(files()["icon.svg"], media_type=_TYPES[".svg"])
