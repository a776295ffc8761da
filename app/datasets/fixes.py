"""Suggests operations that remove the findings of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.datasets.schemas import Fix
from store.datasets import APPEND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.datasets.schemas import DatasetReport
    from store.tables import Dataset as DatasetRow


@dataclass(frozen=True, slots=True)
class _Rule:
    """Operation that removes a finding."""

    description: str
    operation: Mapping[str, Any] = field(default_factory=lambda: {"operation": "drop_rows"})
    #: Whether it loses nothing that one could want to keep.
    is_default: bool = False


_RULES: Final[Mapping[str, tuple[_Rule, ...]]] = {
    "near_duplicates_across_splits": (
        _Rule("Drop held-out rows that resemble a training row, so that the metrics are honest.", is_default=True),
    ),
    "duplicate_rows": (_Rule("Keep one of equal rows in each split.", {"operation": "dedupe"}, is_default=True),),
    "near_duplicate_rows": (_Rule("Drop rows that resemble an earlier row of their split."),),
    "label_probably_wrong": (
        _Rule("Drop the rows whose label is probably wrong."),
        _Rule("Give these rows the class that a model predicts for them.", {"operation": "relabel"}),
    ),
    "conflicting_labels": (_Rule("Drop all equal rows with different labels."),),
}


def suggest_fixes(row: DatasetRow, report: DatasetReport) -> list[Fix]:
    """Return operations for the findings of a report, those that are applied by default first."""
    fixes = [*_suggest_bad_rows(row, report), *_suggest_flagged_rows(row)]
    return sorted(fixes, key=lambda fix: not fix.is_default)


def _suggest_bad_rows(row: DatasetRow, report: DatasetReport) -> Iterator[Fix]:
    """Suggest to leave out bad rows of an upload that was rejected for nothing else."""
    errors = sum(item.count for item in report.errors if item.severity == "error")
    is_upload = row.origin is None or row.origin["operations"][0]["operation"] == APPEND
    if row.state == "rejected" and is_upload and 0 < errors <= report.rejected < report.rows:
        yield Fix(
            finding=None,
            rows=report.rejected,
            operation={"operation": "leave_out_bad_rows"},
            is_default=True,
            description="Read the upload again, and leave out the rows that have an error.",
        )


def _suggest_flagged_rows(row: DatasetRow) -> Iterator[Fix]:
    flagged_rows: Mapping[str, int] = (row.summary or {}).get("flagged_rows", {})
    for code, count in flagged_rows.items():
        for rule in _RULES.get(code, (_Rule("Drop the rows of this finding."),)):
            names_rows = rule.operation["operation"] in ("drop_rows", "relabel")
            operation = {**rule.operation, "finding": code} if names_rows else dict(rule.operation)
            yield Fix(
                finding=code,
                rows=count,
                operation=operation,
                is_default=rule.is_default,
                description=rule.description,
            )
