"""Names of fields in errors, for clients that sent them under other names."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from app.http.errors import ProblemError, summarize
from ml.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def client_paths(rename: Callable[[int, str], str]) -> Iterator[None]:
    """Replace the paths of an `InputError` by those of what the client sent.

    `rename` gets the position of the input and the native path; "" is the whole input. Raises `ProblemError` 422.
    """
    try:
        yield
    except InputError as error:
        findings = [
            replace(finding, path=rename(error.index, finding.path or "") or None) for finding in error.findings
        ]
        raise ProblemError(422, "invalid_input", summarize(findings), errors=findings) from error
