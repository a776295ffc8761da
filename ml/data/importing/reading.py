"""Describes in one line what an import read, and what it left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ml.data.issue_catalog import ISSUE_TYPES
from ml.data.issues import to_printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.data.formats.base import Format
    from ml.data.issues import Issue, IssueLog

#: Names that the line lists; more are counted.
MAX_LISTED_NAMES: Final = 10
_COLUMNS: Final = "columns"


def describe_reading(format: Format, columns: Sequence[str], issues: IssueLog) -> str:
    """Return the line.

    For example: "read: text = description; not read: id, subject; 3 files not read: a.ids, ...".

    Args:
        format: The format that read the files.
        columns: Canonical columns of the rows, without the label.
        issues: All issues of the import.
    """
    parts = [f"read: {_describe_columns(format, columns)}"]
    parts += sorted(set(format.detected_quoting.values()))
    left_out: dict[str, list[Issue]] = {}
    for issue in issues.entries:
        if noun := ISSUE_TYPES[issue.code].left_out:
            left_out.setdefault(noun, []).append(issue)
    if _COLUMNS in left_out:
        parts.append(f"not read: {_list_names(left_out.pop(_COLUMNS), 'column')}")
    for noun, entries in left_out.items():
        count = sum(issue.count for issue in entries)
        noun = noun.removesuffix("s") if count == 1 else noun
        parts.append(f"{count:,} {noun} not read: {_list_names(entries, 'file', count)}".removesuffix(": "))
    return "; ".join(parts)


def _describe_columns(format: Format, columns: Sequence[str]) -> str:
    """Return the canonical columns with those of the files."""
    detected = format.detected_columns
    named = [
        name if str(column) == name else f"{name} = {to_printable(column)}"
        for name, column in detected.items()
        if name != "shape"
    ]
    others = [column for column in columns if column not in detected]
    return ", ".join([*others, *named]) or "nothing"


def _list_names(entries: Sequence[Issue], key: str, count: int | None = None) -> str:
    names = list(dict.fromkeys(str(sample[key]) for issue in entries for sample in issue.sample if key in sample))
    shown = names[:MAX_LISTED_NAMES]
    is_more = len(names) > len(shown) or any(issue.count > len(issue.sample) for issue in entries if count is not None)
    return ", ".join([*shown, "..."] if is_more and shown else shown)
