"""What can go wrong in `ml`, and what its user can do about it.

MLError
├── SpecError            what was asked for does not hold together
│   └── UnknownName      a name that no registry knows
├── DataError            the data cannot be used as asked
├── InputError           one input of a prediction cannot be read
├── PackageError         a package on disk is foreign or too new
│   └── DamagedPackage   a file of it is missing, or is not the one that was packed
├── TrainingDiverged     the loss is no longer a number
└── TrainingInterrupted  the run was asked to leave; its last checkpoint holds everything
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MOST_NAMES = 50
"""So many known names are listed to someone who gave another."""
MAX_SHOWN_CHARACTERS = 80
"""So much is repeated of what was sent."""
PARAMETERS = "parameters"
"""What a request says for all of its inputs; the place of a finding that is there and not in an input."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = MAX_SHOWN_CHARACTERS


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


def unknown(
    kind: str, name: str, known: Iterable[str], *, path: str | None = None, otherwise: str | None = None
) -> Finding:
    """There is no such name: what there is, and what may have been meant; `otherwise` is the hint where nothing was."""
    names = sorted(known)
    alike = get_close_matches(name[:MAX_SHOWN_CHARACTERS], names, n=1)
    listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    return Finding(
        code=UnknownName.code,
        message=f"there is no {kind} named {shortened(name)}; known: {listed or 'none'}",
        path=path,
        found=name[:MAX_SHOWN_CHARACTERS],
        expected=listed,
        hint=f"Did you mean {alike[0]!r}?" if alike else otherwise,
    )


def shortened(value: object) -> str:
    """What was sent, to be shown again: no more of it is looked at than is shown."""
    text = _SHORT.repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 1]}…"


class DataError(MLError):
    """The data cannot be used as asked; the user's to mend, so it is never tried again."""

    code = "invalid_data"


class InputError(MLError):
    """One input of a prediction cannot be read. `index` counts from 0 in `inputs`.

    The paths of its findings point into the input (`speed`); below `parameters` into what was said for all inputs.
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
        found = findings or [Finding(code=self.code, message=message, path=field, hint=hint)]
        told = message if findings or field is None else f"{field}: {message}"
        super().__init__(told, hint=hint, findings=found)
        self.index = index

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> InputError:
        """One error out of everything that is wrong with an input."""
        told = "; ".join(f"{each.path}: {each.message}" if each.path else each.message for each in findings)
        return cls(told, findings=findings)

    def moved(self, place: Callable[[str], str]) -> Self:
        """Itself, with each finding where `place` puts its path; that of the whole input is ""."""
        self.findings = tuple(replace(each, path=place(each.path or "") or None) for each in self.findings)
        return self


class PackageError(MLError):
    """A package on disk is damaged, foreign or too new to read."""

    code = "invalid_package"


class DamagedPackage(PackageError):
    """A file of it is missing, or is not the one that was packed: another copy may be whole."""


class TrainingDiverged(MLError):
    """The loss is no longer a number."""

    code = "training_diverged"


class TrainingInterrupted(MLError):
    """The run was asked to leave; its last checkpoint holds everything."""

    code = "interrupted"
