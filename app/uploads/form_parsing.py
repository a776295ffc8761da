"""From what a request brought, files in a form or words in JSON, to blobs and options that hold together."""

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
from app.http.validation import read
from store.ids import new_id

if TYPE_CHECKING:
    from starlette.responses import Response

    from app.uploads.multipart import FilePart, Form
    from store.blobs import Blobs
    from store.partial_uploads import PartialUploads

MAX_JSON_BYTES = 1024**2

Options = TypeVar("Options", bound=BaseModel)

Source = Mapping[str, str]
"""`{"key", "filename"}` of a blob."""


@contextmanager
def scratch(incoming: PartialUploads) -> Iterator[Path]:
    """A folder for the files of one form."""
    folder = Path(tempfile.mkdtemp(prefix="form-", dir=incoming.directory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def validated(kind: type[Options], value: Any, *, judge: Callable[[Options], object]) -> Options:
    """Validate the options; raises `ProblemError` 422 with every fault, those that `judge` finds (`SpecError`) too."""
    asked = read(kind.model_validate, value, schema=kind.model_json_schema(), judge=judge)
    judge(asked)
    return asked


def refuse_without_file(form: Form) -> None:
    """Raises `ProblemError` 422."""
    if not form.files:
        item = {"code": "missing", "path": "file", "message": "Field required"}
        raise ProblemError(422, "invalid_request", "Send at least one file, as the form field 'file'.", errors=[item])


def keep(
    files: Sequence[FilePart], below: str, blobs: Blobs, *, create: Callable[[Sequence[Source]], Response]
) -> Response:
    """Files become blobs first, so that no row ever names one that is not there; `create` makes the row and answers."""
    keys = [f"{below}/{new_id('upl')}/{file.filename}" for file in files]
    sources = [{"key": key, "filename": file.filename} for key, file in zip(keys, files, strict=True)]
    try:
        for key, file in zip(keys, files, strict=True):
            blobs.put_file(key, file.path, move=True)
        answer = create(sources)
    except BaseException:
        drop(keys, blobs)
        raise
    if REPLAYED in answer.headers:
        drop(keys, blobs)
    return answer


def drop(keys: Iterable[str], blobs: Blobs) -> None:
    """Files that no row names."""
    for key in keys:
        blobs.delete(key)


def fingerprint(asked: BaseModel, files: Iterable[FilePart] = ()) -> bytes:
    """By which a request is known again."""
    return "\n".join([asked.model_dump_json(), *(f"{file.filename} {file.sha256}" for file in files)]).encode()
