"""What an import found so far: counted in full, shown in samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml.data.issue_catalog import ISSUE_TYPES

if TYPE_CHECKING:
    from ml.data.issue_catalog import Severity

LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where in an upload: `line` and `row` count from 1, `row` without the header."""

    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None


@dataclass(slots=True)
class IssueEntry:
    """All findings of one code."""

    code: str
    severity: Severity
    hint: str
    count: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)


class DataRejected(Exception):
    """Reading of a row, a file or the whole upload ends here; whoever goes on with the next one records it."""

    def __init__(self, code: str, *, found: object = None, expected: object = None, at: Location | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.found = found
        self.expected = expected
        self.at = at


class IssueLog:
    """Collects; never raises."""

    def __init__(self, *, max_samples: int) -> None:
        self.max_samples = max_samples
        self._entries: dict[str, IssueEntry] = {}
        self.rejected = 0
        """Rows that could not be read."""
        self.repaired = 0
        """Rows that were changed or removed to mend the data."""

    def add(
        self,
        code: str,
        *,
        at: Location | None = None,
        found: object = None,
        expected: object = None,
        count: int = 1,
        rows: int = 0,
    ) -> None:
        """Record `count` findings of one kind, by which `rows` rows are lost (error) or changed (repair)."""
        problem = ISSUE_TYPES[code]
        entry = self._entries.setdefault(code, IssueEntry(code, problem.severity, problem.hint))
        entry.count += count
        self._count_rows(problem.severity, rows)
        if len(entry.sample) < self.max_samples:
            entry.sample.append(_sample(at or Location(), found, expected))

    def add_more(self, code: str, count: int, *, rows: int = 0) -> None:
        """Count findings beyond the samples, each by which `rows` rows are lost or changed."""
        if count > 0:
            entry = self._entries[code]
            entry.count += count
            self._count_rows(entry.severity, count * rows)

    def record(self, refused: DataRejected, *, at: Location | None = None, rows: int = 0) -> None:
        """Record why something was refused, at the place it knows best: who read a line may not know of which file."""
        place = refused.at or at
        if place is not None and place.file is None and at is not None:
            place = replace(place, file=at.file)
        self.add(refused.code, at=place, found=refused.found, expected=refused.expected, rows=rows)

    def count(self, code: str) -> int:
        """How often this was found."""
        return self._entries[code].count if code in self._entries else 0

    def _count_rows(self, severity: Severity, rows: int) -> None:
        self.rejected += rows * (severity == "error")
        self.repaired += rows * (severity == "repair")

    @property
    def entries(self) -> list[IssueEntry]:
        """Errors first, then warnings, then repairs."""
        order = ("error", "warning", "repair")
        return sorted(self._entries.values(), key=lambda entry: order.index(entry.severity))

    @property
    def reject(self) -> bool:
        """Whether there is any error."""
        return any(entry.severity == "error" for entry in self._entries.values())


def shown(value: object) -> str:
    """What a stranger wrote, fit to be read and logged: printable, and not too long."""
    text = str(value)
    text = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def _sample(at: Location, found: object, expected: object) -> dict[str, Any]:
    values = {
        "file": None if at.file is None else shown(at.file),
        "line": at.line,
        "row": at.row,
        "column": None if at.column is None else shown(at.column),
        "found": None if found is None else shown(found),
        "expected": None if expected is None else shown(expected),
    }
    return {name: value for name, value in values.items() if value is not None}
