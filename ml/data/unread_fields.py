"""Counts the fields of a file that are not read, and reports each once."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.data.issues import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ml.data.issues import IssueLog

#: Names of fields that number, locate or describe a row, and bring nothing to learn.
DETAIL_NAME: Final = re.compile(
    r"|index|id|row|idx|(image|img|sentence|annotation|tu)_?id|uuid|guid|unnamed: ?\d+|filename|file_name|path|folder"
    r"|info|licen[sc]es?|(flickr|coco)?_?url|area|supercategory|version|contributor|description|year|width|height|depth"
    r"|(date|created|changed|creation|change)_?\w*|\w+_(at|date)|owner|source|database|nc|download|roboflow"
    r"|tuid|usagecount|creation\w+|change\w+|lastusagedate|adminlang|datatype|segtype|o-tmf|o-encoding|inline codes"
    r"|up_?votes|down_?votes|lines?|segmented|checksum|md5|sha(1|256)",
    re.IGNORECASE,
)


class UnreadFields:
    """Fields of one file that are not read, with their number of rows."""

    def __init__(self, details: Collection[str] = ()) -> None:
        """Prepare to count; `details` are names of further fields that only describe."""
        self._details = details
        self._counts: Counter[str] = Counter()
        self._first: dict[str, Location] = {}

    def add(self, name: str, at: Location, count: int = 1) -> None:
        """Count a field, such as `annotations.area`."""
        self._counts[name] += count
        self._first.setdefault(name, at)

    def add_all(self, fields: Mapping[str, Any], used: Collection[str], at: Location, *, prefix: str = "") -> None:
        """Count all fields with a value that are not in `used`."""
        for name, value in fields.items():
            if name not in used and value not in (None, "", [], {}):
                self.add(f"{prefix}{name}", at)

    def report(self, issues: IssueLog, *, read: str = "") -> None:
        """Record an issue for each field: a note for details, a warning for all others."""
        for name, count in self._counts.items():
            bare = name.rpartition(".")[2].strip()
            is_detail = bare in self._details or DETAIL_NAME.fullmatch(bare)
            code = "details_not_read" if is_detail else "fields_not_read"
            at = Location(file=self._first[name].file, column=name)
            times = "" if count == 1 else f", {count:,} times"
            issues.add(code, at=at, actual=f"not read: {name}{times}", expected=read or None, count=count)
        self._counts.clear()
