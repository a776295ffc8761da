"""Issues of one import: counted in full, listed as samples.

`DataRejected` ends the reading of a row, a file or an upload; `IssueLog` collects these and all other issues.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml.data.issue_catalog import ISSUE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml.data.issue_catalog import Severity

MAX_SHOWN_CHARACTERS = 120
#: Fields listed by their names for one code.
MAX_FIELDS = 100
#: Rows listed for one code; further ones are counted only.
MAX_FLAGGED_ROWS = 100_000
#: Beginning of the hint of an issue whose rows are not in the dataset, while the others are.
LEFT_OUT = "Left out:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Location in an upload: `line` and `row` count from 1, `row` without the header."""

    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None


@dataclass(slots=True)
class Issue:
    """All issues of one code: their number and the first of them."""

    code: str
    severity: Severity
    hint: str
    count: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)


class DataRejected(Exception):
    """Ends the reading of a row, a file or the whole upload.

    The reader that continues with the next row or file records it in its `IssueLog`. `code` is a key of `ISSUE_TYPES`;
    `actual` and `expected` describe the value, `at` is its location.
    """

    def __init__(
        self, code: str, *, actual: object = None, expected: object = None, at: Location | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.actual = actual
        self.expected = expected
        self.at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedRow:
    """Row that an issue is about, by its position among all staged rows."""

    row: int
    #: The row that it resembles.
    twin: int | None = None
    #: The class that it has.
    given_label: str | None = None
    #: The class that it probably has, and its probability.
    label: str | None = None
    probability: float | None = None


class IssueLog:
    """Collects the issues of one import; never raises.

    With `leaves_out_bad_rows`, an error in a single row is a repair: the row is left out, and nothing is rejected.
    """

    def __init__(self, *, max_samples: int, leaves_out_bad_rows: bool = False) -> None:
        self.max_samples = max_samples
        self.leaves_out_bad_rows = leaves_out_bad_rows
        self._issues: dict[str, Issue] = {}
        #: Code -> rows of its issues, in the order of its samples; at most `MAX_FLAGGED_ROWS`.
        self.flagged_rows: dict[str, list[FlaggedRow]] = {}
        self._has_errors_beyond_rows = False
        #: Rows that could not be read.
        self.rejected_rows = 0
        #: Rows that were changed or removed to repair the data.
        self.repaired_rows = 0

    def add(
        self,
        code: str,
        *,
        at: Location | None = None,
        actual: object = None,
        expected: object = None,
        count: int = 1,
        rows: int = 0,
    ) -> None:
        """Record `count` issues of one code.

        `rows` rows are rejected by them if the code is an error, and repaired if it is a repair.
        """
        issue_type = ISSUE_TYPES[code]
        severity = self._severity_of(issue_type.severity, rows)
        self._has_errors_beyond_rows |= severity == "error" and not rows
        issue = self._issues.setdefault(code, Issue(code, severity, issue_type.hint))
        issue.severity = "error" if severity == "error" else issue.severity
        issue.hint = _hint_of(code, issue.severity)
        issue.count += count
        self._count_rows(issue_type.severity, rows)
        # Fields that are not read are all named, not only the first of them.
        max_samples = MAX_FIELDS if self.max_samples and issue_type.left_out == "columns" else self.max_samples
        if len(issue.sample) < max_samples:
            issue.sample.append(_to_sample(at or Location(), actual, expected))

    def add_more(self, code: str, count: int, *, rows: int = 0) -> None:
        """Count `count` further issues without a sample, `rows` rows rejected or repaired by each.

        `add` must have recorded this code before.
        """
        if count > 0:
            self._issues[code].count += count
            self._count_rows(ISSUE_TYPES[code].severity, count * rows)

    def flag(self, code: str, rows: Iterable[FlaggedRow]) -> None:
        """List the rows of an issue, so that operations can name them by its code.

        The first of them are the samples of the issue, in this order.
        """
        flagged_rows = self.flagged_rows.setdefault(code, [])
        flagged_rows.extend(itertools.islice(rows, MAX_FLAGGED_ROWS - len(flagged_rows)))

    def add_positions(self, code: str, positions: Sequence[Mapping[str, Any]]) -> None:
        """Add the positions of flagged rows in the dataset to the samples of their issue."""
        issue = self._issues.get(code)
        for sample, position in zip(issue.sample if issue else (), positions, strict=False):
            sample.update(
                {
                    name: position[name]
                    for name in ("split", "index", "twin", "given_label", "label", "probability")
                    if name in position
                }
            )

    def record(self, rejection: DataRejected, *, at: Location | None = None, rows: int = 0) -> None:
        """Record a rejection at its own location, or else at `at`.

        A rejection that names a line but no file gets the file of `at`.
        """
        location = rejection.at or at
        if location is not None and location.file is None and at is not None:
            location = replace(location, file=at.file)
        self.add(rejection.code, at=location, actual=rejection.actual, expected=rejection.expected, rows=rows)

    def leave_out_bad_rows(self, *, max_rows: int) -> None:
        """Make all errors repairs if they concern at most `max_rows` single rows."""
        if self.has_errors and not self._has_errors_beyond_rows and self.rejected_rows <= max_rows:
            self.leaves_out_bad_rows = True
            for issue in self._issues.values():
                issue.severity = "repair" if issue.severity == "error" else issue.severity
                issue.hint = _hint_of(issue.code, issue.severity)

    def count(self, code: str) -> int:
        """Return the number of issues of one code."""
        return self._issues[code].count if code in self._issues else 0

    def _severity_of(self, severity: Severity, rows: int) -> Severity:
        return "repair" if self.leaves_out_bad_rows and rows and severity == "error" else severity

    def _count_rows(self, severity: Severity, rows: int) -> None:
        self.rejected_rows += rows * (severity == "error")
        self.repaired_rows += rows * (severity == "repair")

    @property
    def entries(self) -> list[Issue]:
        """Errors first, then warnings, repairs and notes."""
        order = ("error", "warning", "repair", "note")
        return sorted(self._issues.values(), key=lambda issue: order.index(issue.severity))

    @property
    def has_errors(self) -> bool:
        """True if any issue is an error, so that the upload is rejected."""
        return any(issue.severity == "error" for issue in self._issues.values())


def to_printable(value: object) -> str:
    """Return untrusted text fit for reports and logs.

    Characters that are not printable are escaped, and at most `MAX_SHOWN_CHARACTERS` characters remain.
    """
    text = str(value)
    text = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def _to_sample(at: Location, actual: object, expected: object) -> dict[str, Any]:
    """Return the JSON of one sample; the value is called `found` there."""
    values = {
        "file": None if at.file is None else to_printable(at.file),
        "line": at.line,
        "row": at.row,
        "column": None if at.column is None else to_printable(at.column),
        "found": None if actual is None else to_printable(actual),
        "expected": None if expected is None else to_printable(expected),
    }
    return {name: value for name, value in values.items() if value is not None}


def _hint_of(code: str, severity: Severity) -> str:
    """Return the hint of an issue; of rows that were left out, that they were."""
    issue_type = ISSUE_TYPES[code]
    if severity != "repair" or issue_type.severity != "error":
        return issue_type.hint
    hint = issue_type.hint.replace(", or leave it out", "").removesuffix(".")
    return f"{LEFT_OUT} the other rows are kept. {hint}, and upload it again, to have it too."
