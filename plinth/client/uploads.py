"""Sending files of any size by tus 1.0, in checked pieces, going on where a broken line or a killed program stopped."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from plinth.client.errors import APIError, NotFound, PlinthError
from plinth.client.home import home
from plinth.client.transport import API, Transport

PIECE_BYTES = 8 * 2**20
ATTEMPTS_PER_PIECE = 6
RETRY_SECONDS = 0.5
OFFSET_MISMATCH, CHECKSUM_MISMATCH = 409, 460

OnProgress = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all."""


class Uploads:
    """Uploads in progress, remembered by file in the home folder until a data set is made of them."""

    def __init__(self, connection: Transport, *, piece_bytes: int = PIECE_BYTES) -> None:
        self._connection = connection
        self._piece_bytes = piece_bytes
        self._notes = home() / "resumable-uploads.json"

    def send(self, files: Sequence[Path], *, on_progress: OnProgress | None = None) -> list[str]:
        """Send each file; gives the ids of the uploads."""
        total = sum(file.stat().st_size for file in files)
        before = 0

        def on_sent(sent: int) -> None:
            if on_progress is not None:
                on_progress(before + sent, total)

        ids = []
        for file in files:
            ids.append(self._send_file(file, on_sent))
            before += file.stat().st_size
        return ids

    def forget(self, files: Sequence[Path]) -> None:
        """Once a data set stands on them, the same files sent again are new uploads."""
        notes = self._read_notes()
        for file in files:
            notes.pop(self._fingerprint(file), None)
        self._write_notes(notes)

    def _send_file(self, file: Path, on_sent: Callable[[int], None]) -> str:
        length = file.stat().st_size
        location, offset = self._resumed(file, length) or (self._begin(file, length), 0)
        with file.open("rb") as source:
            while offset < length:
                on_sent(offset)
                source.seek(offset)
                offset = self._send_piece(location, offset, source.read(self._piece_bytes))
        on_sent(length)
        return location.rpartition("/")[2]

    def _begin(self, file: Path, length: int) -> str:
        encoded = base64.b64encode(file.name.encode()).decode()
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length), "Upload-Metadata": f"filename {encoded}"}
        answer = self._connection.send("POST", f"{API}/uploads", headers=headers)
        location = httpx2.URL(answer.headers["Location"]).path
        self._write_notes({**self._read_notes(), self._fingerprint(file): location})
        return location

    def _resumed(self, file: Path, length: int) -> tuple[str, int] | None:
        """An earlier upload of the same file that the service still has, and how far it is."""
        location = self._read_notes().get(self._fingerprint(file))
        if location is None:
            return None
        try:
            offset = self._offset(location)
        except NotFound:
            return None
        return (location, offset) if offset <= length else None

    def _send_piece(self, location: str, offset: int, piece: bytes) -> int:
        """Send a piece and give the new offset; what a broken line swallowed is found out and sent again."""
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Upload-Checksum": "sha256 " + base64.b64encode(hashlib.sha256(piece).digest()).decode(),
            "Content-Type": "application/offset+octet-stream",
        }
        for attempt in range(ATTEMPTS_PER_PIECE):
            try:
                answer = self._connection.send("PATCH", location, headers=headers, content=piece)
                return int(answer.headers["Upload-Offset"])
            except APIError as error:
                if error.status not in (OFFSET_MISMATCH, CHECKSUM_MISMATCH):
                    raise
                failure: PlinthError = error
            except PlinthError as error:
                failure = error
            time.sleep(RETRY_SECONDS * 2**attempt)
            with contextlib.suppress(PlinthError):
                if (arrived := self._offset(location)) != offset:
                    return arrived
        raise failure

    def _offset(self, location: str) -> int:
        answer = self._connection.send("HEAD", location, headers={"Tus-Resumable": "1.0.0"}, again=True)
        return int(answer.headers["Upload-Offset"])

    def _fingerprint(self, file: Path) -> str:
        status = file.stat()
        return f"{self._connection.url} {file.absolute()} {status.st_size} {status.st_mtime_ns}"

    def _read_notes(self) -> dict[str, str]:
        try:
            notes = json.loads(self._notes.read_text())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def _write_notes(self, notes: dict[str, str]) -> None:
        # Only the comfort of going on after a restart is lost where nothing can be written.
        with contextlib.suppress(OSError):
            self._notes.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._notes.write_text(json.dumps(notes, indent=1))


@contextmanager
def without_folders(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The same files, each folder as a zip that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="plinth-upload-") as temporary:
        yield [_zipped(path, Path(temporary)) if path.is_dir() else path for path in paths]


def _zipped(folder: Path, into: Path) -> Path:
    archive = into / f"{folder.absolute().name}.zip"
    # Stored, not deflated: pictures are compressed already, and weights do not get smaller.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            zipped.write(file, file.relative_to(folder))
    return archive
