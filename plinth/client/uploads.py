"""Resumable uploads of files of any size (tus 1.0), in chunks with checksums."""

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

CHUNK_BYTES = 8 * 2**20
ATTEMPTS_PER_CHUNK = 6
RETRY_SECONDS = 0.5
OFFSET_MISMATCH, CHECKSUM_MISMATCH = 409, 460

#: Beginning of the names of folders that hold zips until they are sent.
TEMPORARY_PREFIX = "plinth-upload-"

#: Called with the bytes sent so far and the total bytes.
OnProgress = Callable[[int, int], None]


class Uploads:
    """Uploads files and resumes after lost connections and killed programs.

    A file in the home folder records unfinished uploads by their source file, until `forget` is called for them.
    """

    def __init__(self, transport: Transport, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._transport = transport
        self._chunk_bytes = chunk_bytes
        self._records_file = home() / "resumable-uploads.json"

    def send(self, files: Sequence[Path], *, on_progress: OnProgress | None = None) -> list[str]:
        """Send files in order; returns the ids of the uploads."""
        total = sum(file.stat().st_size for file in files)
        finished_bytes = 0

        def on_sent(sent: int) -> None:
            if on_progress is not None:
                on_progress(finished_bytes + sent, total)

        ids = []
        for file in files:
            ids.append(self._send_file(file, on_sent))
            finished_bytes += file.stat().st_size
        return ids

    def forget(self, files: Sequence[Path]) -> None:
        """Remove the records of files, so that sending them again creates new uploads."""
        records = self._read_records()
        for file in files:
            records.pop(self._fingerprint(file), None)
        self._write_records(records)

    def _send_file(self, file: Path, on_sent: Callable[[int], None]) -> str:
        length = file.stat().st_size
        location, offset = self._find_unfinished(file, length) or (self._begin(file, length), 0)
        with file.open("rb") as source:
            while offset < length:
                on_sent(offset)
                source.seek(offset)
                offset = self._send_chunk(location, offset, source.read(self._chunk_bytes))
        on_sent(length)
        return location.rpartition("/")[2]

    def _begin(self, file: Path, length: int) -> str:
        encoded_name = base64.b64encode(file.name.encode()).decode()
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(length),
            "Upload-Metadata": f"filename {encoded_name}",
        }
        response = self._transport.send("POST", f"{API}/uploads", headers=headers)
        location = httpx2.URL(response.headers["Location"]).path
        self._write_records({**self._read_records(), self._fingerprint(file): location})
        return location

    def _find_unfinished(self, file: Path, length: int) -> tuple[str, int] | None:
        """Return location and offset of an unfinished upload of the file, or None."""
        location = self._read_records().get(self._fingerprint(file))
        if location is None:
            return None
        try:
            offset = self._fetch_offset(location)
        except NotFound:
            return None
        return (location, offset) if offset <= length else None

    def _send_chunk(self, location: str, offset: int, chunk: bytes) -> int:
        """Send a chunk and return the new offset.

        After a lost connection it fetches the offset from the service, and sends the chunk again if it did not arrive.
        """
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Upload-Checksum": "sha256 " + base64.b64encode(hashlib.sha256(chunk).digest()).decode(),
            "Content-Type": "application/offset+octet-stream",
        }
        for attempt in range(ATTEMPTS_PER_CHUNK):
            try:
                response = self._transport.send("PATCH", location, headers=headers, content=chunk)
                return int(response.headers["Upload-Offset"])
            except APIError as error:
                if error.status not in (OFFSET_MISMATCH, CHECKSUM_MISMATCH):
                    raise
                failure: PlinthError = error
            except PlinthError as error:
                failure = error
            time.sleep(RETRY_SECONDS * 2**attempt)
            with contextlib.suppress(PlinthError):
                if (current_offset := self._fetch_offset(location)) != offset:
                    return current_offset
        raise failure

    def _fetch_offset(self, location: str) -> int:
        response = self._transport.send("HEAD", location, headers={"Tus-Resumable": "1.0.0"}, retry=True)
        return int(response.headers["Upload-Offset"])

    def _fingerprint(self, file: Path) -> str:
        status = file.stat()
        if file.parent.name.startswith(TEMPORARY_PREFIX):
            # The zip of a folder has another path each time, but the same bytes while the folder is unchanged.
            return f"{self._transport.url} {file.name} {status.st_size} {_digest_entries(file)}"
        return f"{self._transport.url} {file.absolute()} {status.st_size} {status.st_mtime_ns}"

    def _read_records(self) -> dict[str, str]:
        try:
            records = json.loads(self._records_file.read_text())
        except (OSError, ValueError):
            return {}
        return records if isinstance(records, dict) else {}

    def _write_records(self, records: dict[str, str]) -> None:
        # If the file cannot be written, uploads still work; only resuming after a restart is lost.
        with contextlib.suppress(OSError):
            self._records_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._records_file.write_text(json.dumps(records, indent=1))


@contextmanager
def zip_folders(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the paths with folders replaced by temporary zips, which are deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
        yield [_zip_folder(path, Path(temporary)) if path.is_dir() else path for path in paths]


def _digest_entries(archive: Path) -> str:
    with zipfile.ZipFile(archive) as entries:
        content = [(entry.filename, entry.CRC, entry.file_size, entry.date_time) for entry in entries.infolist()]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _zip_folder(folder: Path, target_folder: Path) -> Path:
    archive = target_folder / f"{folder.absolute().name}.zip"
    # Stored, not deflated: images are compressed already, and weights hardly compress.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as output:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            output.write(file, file.relative_to(folder))
    return archive
