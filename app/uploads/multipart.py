"""Parses `multipart/form-data` while it arrives: files go to disk, fields to memory."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.http.errors import ProblemError
from store.partial_uploads import pump, write_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from starlette.requests import Request

MAX_PARTS = 1000
MAX_FIELD_BYTES = 64 * 1024

#: Size limit of a filename in UTF-8.
_MAX_NAME_BYTES = 150
_MAX_PATH_BYTES = 1000
_MAX_FOLDER_DEPTH = 32
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(slots=True)
class FilePart:
    """A file of a form. `filename` is safe to be part of a path."""

    name: str
    filename: str
    path: Path
    sha256: str | None = None
    #: Path of the file in the folder that a browser sent, such as `pets/cat/1.png`, as it is written there.
    folder_path: str | None = None


@dataclass(slots=True)
class Form:
    """The fields and files of a form, in order."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[FilePart] = field(default_factory=list)


async def read_form(
    request: Request, folder: Path, *, check_space: Callable[[int], None], with_checksums: bool
) -> Form:
    """Read the form of a request; writes its files to `folder`.

    `check_space` is called with the size in bytes of what is to be written. Raises `ProblemError` 413, 415 or 422.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != b"multipart/form-data" or not options.get(b"boundary"):
        detail = "This path reads multipart/form-data with a boundary. Send a form, as `curl -F file=@data.zip` does."
        raise ProblemError(415, "unsupported_media_type", detail)
    reader = _Reader(options[b"boundary"], folder, check_space, with_checksums=with_checksums)
    try:
        await pump(request.stream(), reader.feed)
        reader.finish()
    finally:
        reader.close()
    return reader.form


def safe_filename(name: str) -> str:
    """Return the last part of a path with unsafe characters replaced.

    Letters and digits of any script are safe. The result is never empty, hidden, or a path to another folder.
    """
    last = unicodedata.normalize("NFC", re.split(r"[\\/]", name)[-1])
    end = _UNSAFE.sub("_", last).encode("utf-8", "replace")[-_MAX_NAME_BYTES:]
    return end.decode("utf-8", "ignore").lstrip(".") or "data"


def parse_folder_path(name: str) -> str | None:
    """Return the path that a browser sends for a file in a folder, in NFC.

    Browsers call it `webkitRelativePath`. None for a plain name, and for a path that could name something outside of
    its folder.
    """
    path = unicodedata.normalize("NFC", name)
    parts = path.split("/")
    is_safe = path.isprintable() and "\\" not in path and not {"", ".", ".."} & set(parts)
    is_short = len(parts) <= _MAX_FOLDER_DEPTH and len(path.encode("utf-8", "replace")) <= _MAX_PATH_BYTES
    return path if len(parts) > 1 and is_safe and is_short else None


class _Reader:
    """Callbacks of the parser."""

    def __init__(
        self, boundary: bytes, folder: Path, check_space: Callable[[int], None], *, with_checksums: bool
    ) -> None:
        self.form = Form()
        self._folder = folder
        self._check_space = check_space
        self._with_checksums = with_checksums
        self._part_count = 0
        self._is_complete = False
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._field: bytearray | None = None
        self._file: FileIO | None = None
        self._digest: Any = None  # the type of hashlib.sha256() has no name
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except MultipartParseError as error:
            raise _malformed_form(error) from None

    def feed(self, block: list[bytes]) -> None:
        self._check_space(sum(len(piece) for piece in block))
        try:
            for piece in block:
                self._parser.write(piece)
        except MultipartParseError as error:
            raise _malformed_form(error) from None

    def finish(self) -> None:
        if not self._is_complete:
            raise _malformed_form("it ends before its last boundary; send it again, whole")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_part_begin(self) -> None:
        self._part_count += 1
        self._headers = {}
        if self._part_count > MAX_PARTS:
            raise ProblemError(
                413, "too_many_parts", f"The form has more than {MAX_PARTS} parts. Send a zip or tar instead."
            )

    def _on_header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _malformed_form("a part has no name; name each part in its Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            self._field = bytearray()
            return
        path = self._folder / str(len(self.form.files))
        name = options[b"filename"].decode("utf-8", "replace")
        part = FilePart(self._name, safe_filename(name), path, folder_path=parse_folder_path(name))
        self.form.files.append(part)
        self._file, self._digest = path.open("xb", buffering=0), hashlib.sha256() if self._with_checksums else None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self._file is not None:
            if self._digest:
                self._digest.update(piece)
            write_all(self._file, piece)
        elif self._field is not None:
            self._field += piece
            if len(self._field) > MAX_FIELD_BYTES:
                detail = f"The field {self._name!r} is larger than the limit of {MAX_FIELD_BYTES} bytes. Shorten it."
                raise ProblemError(413, "field_too_large", detail)

    def _on_part_end(self) -> None:
        if self._file is not None:
            self.form.files[-1].sha256 = self._digest.hexdigest() if self._digest else None
            self.close()
        elif self._field is not None:
            try:
                self.form.fields[self._name] = self._field.decode()
            except UnicodeDecodeError:
                raise _malformed_form(
                    f"the field {self._name!r} is not UTF-8; send a file as a part with a filename"
                ) from None
            self._field = None

    def _on_end(self) -> None:
        self._is_complete = True


def _malformed_form(reason: object) -> ProblemError:
    return ProblemError(422, "invalid_form", f"The form cannot be read: {reason}.")
