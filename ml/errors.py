"""What can go wrong in `ml`, and what its user can do about it.

MLError
├── SpecError            what was asked for does not hold together
│   └── UnknownName      a name that no registry knows
├── DataError            the data cannot be used as asked
├── InputError           one input of a prediction cannot be read
├── PackageError         a package on disk is damaged, foreign or too new
├── TrainingDiverged     the loss is no longer a number
└── TrainingInterrupted  the run was asked to leave; its last checkpoint holds everything
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_NAMES = 50
"""So many known names are listed to someone who gave another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and where. `path` points into JSON (`schedule.epochs`); row and line count from 1."""

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

    def as_dict(self) -> dict[str, Any]:
        """Only what is known."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class MLError(Exception):
    """Base of all below. `code` is for programs, the message for people, `hint` says what to do next."""

    code = "ml_error"

    def __init__(self, message: str, *, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings = tuple(findings)


class SpecError(MLError):
    """What was asked for does not hold together; `findings` lists every reason at once."""

    code = "invalid_spec"

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> SpecError:
        """One error out of everything that was found."""
        return cls("; ".join(finding.message for finding in findings), findings=findings)


class UnknownName(SpecError):
    """A name that no registry knows; lists the known ones, and the likeliest."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        finding = unknown(kind, name, known)
        super().__init__(finding.message, hint=finding.hint, findings=[finding])


def unknown(kind: str, name: str, known: Iterable[str], *, path: str | None = None) -> Finding:
    """There is no such name: what there is, and what may have been meant."""
    names = sorted(known)
    alike = get_close_matches(name, names, n=1)
    listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    return Finding(
        code=UnknownName.code,
        message=f"there is no {kind} named {name!r}; known: {listed or 'none'}",
        path=path,
        found=name,
        expected=listed,
        hint=f"Did you mean {alike[0]!r}?" if alike else None,
    )


class DataError(MLError):
    """The data cannot be used as asked; the user's to mend, so it is never tried again."""

    code = "invalid_data"


class InputError(MLError):
    """One input of a prediction cannot be read. `index` counts from 0 in `inputs`."""

    code = "invalid_input"

    def __init__(self, message: str, *, index: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.index = index


class PackageError(MLError):
    """A package on disk is damaged, foreign or too new to read."""

    code = "invalid_package"


class TrainingDiverged(MLError):
    """The loss is no longer a number."""

    code = "training_diverged"


class TrainingInterrupted(MLError):
    """The run was asked to leave; its last checkpoint holds everything."""

    code = "interrupted"
