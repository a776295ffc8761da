"""Parts of annotations that are not used, counted for the report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.data.issues import IssueLog

#: Attributes that every tool writes, and that change nothing when they are left out.
_SILENT_ATTRIBUTES = frozenset({"occluded", "is_crowd", "rotation", "keyframe", "outside", "score"})


class UnusedParts:
    """Counts the parts of annotations that are not read, by their names."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, part: str) -> None:
        """Count one object that has the part."""
        self._counts[part] += 1

    def add_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Count the attributes of one object that have a value."""
        for name, value in attributes.items():
            if name not in _SILENT_ATTRIBUTES and value not in (None, "", False, "false", "no"):
                self.add(f"attribute {name}")

    def report(self, issues: IssueLog, file: str | None = None) -> None:
        """Add an issue for every part, with the number of objects that have it."""
        for part, count in self._counts.items():
            actual = f"{part}: {count:,}"
            issues.add("annotation_parts_not_read", at=Location(file=file), actual=actual, count=count)
