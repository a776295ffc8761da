"""A hub server on 127.0.0.1 with the endpoints for downloading a model, over real HTTP.

Every folder `<owner>/<name>` is a model. Models with some names are faulty.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "hf_right"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BREAKS_ONCE = "breaks-once"
BREAKS_ALWAYS = "breaks-always"
GATED = "gated"
CLAIMS_TOO_MUCH = "claims-too-much"
CUT_AT = 100


class Hub(ThreadingHTTPServer):
    """Serves the folders below `root`, and counts downloads."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        #: Path of a file -> number of requests for its content.
        self.downloads: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """The value for `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub(root: Path) -> Iterator[Hub]:
    """Run a hub until the end of the block."""
    server = Hub(root)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(content=False)

    def do_GET(self) -> None:
        self._answer(content=True)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _answer(self, *, content: bool) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        owner, name, *rest = parts[2:] if parts[:2] == ["api", "models"] else parts
        folder = self.server.root / owner / name
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif not folder.is_dir():
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif name == GATED:
            self._refuse(403, "GatedRepo", f"Access to model {owner}/{name} is restricted")
        elif parts[0] != "api":
            self._file(folder, "/".join(rest[2:]), content=content)
        elif rest[:1] == ["tree"]:
            self._json(_tree(folder))
        else:
            self._json({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": _siblings(folder)})

    def _file(self, folder: Path, path: str, *, content: bool) -> None:
        data = (folder / path).read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{_blob(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not content:
            return
        self.server.downloads[f"{folder.name}/{path}"] += 1
        again = self.server.downloads[f"{folder.name}/{path}"] > 1
        cut = path.endswith(".safetensors") and (
            folder.name == BREAKS_ALWAYS or (folder.name == BREAKS_ONCE and not again)
        )
        self.wfile.write(data[start : max(start, CUT_AT)] if cut else data[start:])
        self.close_connection = self.close_connection or cut

    def _json(self, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _siblings(folder: Path) -> list[dict[str, Any]]:
    size = 10**15 if folder.name == CLAIMS_TOO_MUCH else None
    return [{"rfilename": name, "size": size or len(data), "blobId": _blob(data)} for name, data in _files(folder)]


def _tree(folder: Path) -> list[dict[str, Any]]:
    return [{"type": "file", "path": name, "size": len(data), "oid": _blob(data)} for name, data in _files(folder)]


def _blob(data: bytes) -> str:
    """Return the id that git would give the content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
