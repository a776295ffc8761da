"""Errors of `ml`, each with a hint for the user.

MLError
├── SpecError            a spec cannot be trained
│   └── UnknownName      a name that no registry has
├── DataError            the data cannot be used
├── InputError           one input of a prediction cannot be read
│   └── TextTooLong      a text that must be read whole is longer than the model reads
├── PackageError         a package on disk is invalid or too new
│   └── DamagedPackage   a file is missing, or its checksum differs
├── RankEnded            a process of a training on several devices has ended
├── TrainingDiverged     the loss is not finite
└── TrainingInterrupted  the run was interrupted; its last checkpoint is complete
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Names listed in the message about an unknown one.
MAX_LISTED_NAMES = 50
#: Characters of a sent value that are repeated in a message.
MAX_SHOWN_CHARACTERS = 80
#: Field of a request that applies to all inputs; first part of the path of a finding in it.
PARAMETERS = "parameters"

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = MAX_SHOWN_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault and its place.

    `path` points into JSON (`schedule.epochs`); rows and lines count from 1.
    """

    code: str
    message: str
    path: str | None = None
    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    expected: str | None = None
    found: str | None = None
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class MLError(Exception):
    """Base class: `code` for programs, message for people, `hint` with the next step."""

    code = "ml_error"

    def __init__(self, message: str, *, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings = tuple(findings)


class SpecError(MLError):
    """A spec cannot be trained; `findings` lists every reason."""

    code = "invalid_spec"

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> SpecError:
        """Combine findings into one error."""
        return cls("; ".join(finding.message for finding in findings), findings=findings)


class UnknownName(SpecError):
    """A name that no registry has; the message lists the existing ones."""

    code = "unknown_name"

    def __init__(self, noun: str, name: str, names: Iterable[str]) -> None:
        finding = unknown(noun, name, names)
        super().__init__(finding.message, hint=finding.hint, findings=[finding])


def unknown(
    noun: str, name: str, names: Iterable[str], *, path: str | None = None, default_hint: str | None = None
) -> Finding:
    """Make a finding about a name that does not exist.

    It lists the existing `names` and suggests the closest one; `default_hint` is the hint if none is close.
    """
    names = sorted(names)
    close = get_close_matches(name[:MAX_SHOWN_CHARACTERS], names, n=1)
    more = len(names) - MAX_LISTED_NAMES
    expected = ", ".join(names[:MAX_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
    return Finding(
        code=UnknownName.code,
        message=f"there is no {noun} named {shorten(name)}; known: {expected or 'none'}",
        path=path,
        found=name[:MAX_SHOWN_CHARACTERS],
        expected=expected,
        hint=f"Did you mean {close[0]!r}?" if close else default_hint,
    )


def shorten(value: object) -> str:
    """Return `value` as text of at most `MAX_SHOWN_CHARACTERS` characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 1]}…"


class DataError(MLError):
    """The data cannot be used until the user changes it; the job is not retried."""

    code = "invalid_data"


class InputError(MLError):
    """One input of a prediction cannot be read. `index` counts from 0 in `inputs`.

    Paths of its findings point into the input (`speed`), or below `parameters` into the fields for all inputs.
    """

    code = "invalid_input"

    def __init__(
        self,
        message: str,
        *,
        index: int = 0,
        field: str | None = None,
        hint: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        full_message = message if findings or field is None else f"{field}: {message}"
        findings = findings or [Finding(code=self.code, message=message, path=field, hint=hint)]
        super().__init__(full_message, hint=hint, findings=findings)
        self.index = index

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> InputError:
        """Combine the findings about one input into one error."""
        messages = (f"{finding.path}: {finding.message}" if finding.path else finding.message for finding in findings)
        return cls("; ".join(messages), findings=findings)

    def with_paths(self, new_path: Callable[[str], str]) -> Self:
        """Replace the path of each finding by `new_path(path)`; returns this error.

        The path of a finding about the whole input is "".
        """
        self.findings = tuple(replace(finding, path=new_path(finding.path or "") or None) for finding in self.findings)
        return self


class TextTooLong(InputError):
    """A text that must not be cut has more tokens than the model reads.

    It has `length` tokens, and the model reads `limit`.
    """

    def __init__(self, field: str, *, length: int, limit: int) -> None:
        message = f"has {length:,} tokens, and the model reads {limit:,}"
        super().__init__(message, field=field, hint="Send a shorter text, or let it be cut: truncate: true.")
        self.length = length
        self.limit = limit


class PackageError(MLError):
    """A package on disk is damaged, invalid or too new to read."""

    code = "invalid_package"


class DamagedPackage(PackageError):
    """A file of a package is missing or damaged; another copy may be intact."""


class RankEnded(MLError):
    """A process of a training on several devices has ended before the training."""

    code = "crashed"


class TrainingDiverged(MLError):
    """The loss is not finite."""

    code = "training_diverged"


class TrainingInterrupted(MLError):
    """The run was interrupted; its last checkpoint is complete."""

    code = "interrupted"
