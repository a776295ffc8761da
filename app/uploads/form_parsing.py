"""Parses the options of a request, and stores the files of a form."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from app.http.errors import ProblemError
from app.http.idempotency import REPLAYED
from app.http.validation import parse
from ml.errors import Finding
from store.ids import new_id

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.uploads.multipart import FilePart, Form
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads

#: Size limit of a JSON body that creates a dataset or imports a model.
MAX_JSON_BYTES = 1024**2

Options = TypeVar("Options", bound=BaseModel)

#: `{"key", "filename"}` of a blob, and `"path"` for a file of a folder.
Source = Mapping[str, str]


@contextmanager
def temporary_folder(partial_uploads: PartialUploads) -> Iterator[Path]:
    """Create a folder for the files of one form; it is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="form-", dir=partial_uploads.directory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_options(schema: type[Options], value: Any, *, check: Callable[[Options], object]) -> Options:
    """Parse options; raises `ProblemError` 422 with every fault.

    `check` raises `SpecError` with faults of its own.
    """
    options = parse(schema.model_validate, value, schema=schema.model_json_schema(), check=check)
    check(options)
    return options


def require_file(form: Form) -> None:
    """Raise `ProblemError` 422 for a form without a file."""
    if not form.files:
        finding = Finding(code="missing", path="file", message="Field required", hint="Send a part with a filename.")
        detail = "Send at least one file, as the form field 'file'."
        raise ProblemError(422, "invalid_request", detail, errors=[finding])


def store_files(
    files: Sequence[FilePart], prefix: str, blobs: Blobs, *, create: Callable[[Sequence[Source]], Response]
) -> Response:
    """Store files as blobs below `prefix`, then call `create`.

    `create` creates the row and returns the response. In this order, no row names a blob that does not exist. If no row
    was created the blobs are deleted again.
    """
    keys = [f"{prefix}/{new_id('upl')}/{file.filename}" for file in files]
    sources = [
        {"key": key, "filename": file.filename, **({"path": file.folder_path} if file.folder_path else {})}
        for key, file in zip(keys, files, strict=True)
    ]
    try:
        for key, file in zip(keys, files, strict=True):
            blobs.put_file(key, file.path, move=True)
        response = create(sources)
    except BaseException:
        delete_blobs(keys, blobs)
        raise
    if REPLAYED in response.headers:
        delete_blobs(keys, blobs)
    return response


def delete_blobs(keys: Iterable[str], blobs: Blobs) -> None:
    """Delete blobs that no row names."""
    for key in keys:
        blobs.delete(key)


def fingerprint(options: BaseModel, files: Iterable[FilePart] = ()) -> bytes:
    """Return bytes that identify a request, for `IdempotentRequest.respond`."""
    return "\n".join(
        [options.model_dump_json(), *(f"{file.folder_path or file.filename} {file.sha256}" for file in files)]
    ).encode()
