"""Parts of annotations that are not used, counted for the report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ml.data.issues import Location
from ml.data.unread_fields import UnreadFields

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ml.data.issues import IssueLog

#: Attributes that are read with the box.
_BOX_ATTRIBUTES: Final = frozenset({"is_crowd", "rotation"})
#: Attributes that every tool writes, and that change nothing when they are left out.
_DETAIL_ATTRIBUTES: Final = frozenset({"occluded", "keyframe", "outside", "score"})
#: Fields that annotation tools write on their own, and that describe an object or how it was annotated.
_DETAILS: Final = frozenset(
    {
        *(
            "occluded",
            "keyframe",
            "outside",
            "score",
            "confidence",
            "Confidence",
            "z_order",
            "group",
            "pose",
            "meta",
            "infos",
        ),
        *("dm_format_version", "media_type", "color", "from_name", "to_name", "origin", "lead_time", "completed_by"),
        *("project", "inner_id", "total_annotations", "unique_id", "last_action", "result_count", "updated_by"),
        *("comment_count", "import_id", "submittedBy", "verified", "username", "size", "attr", "backup", "classes"),
        *("sourceImage", "sourceAnnotation", "annotator", "frame", "flickrid", "name", "task", "_via_settings"),
        *("_via_data_format_version", "_via_image_id_list", "_via_attributes"),
    }
)
#: Values that say nothing: XML and CSV write false as "0", LabelImg an unknown pose as "Unspecified".
_NO_VALUES: Final[tuple[Any, ...]] = (None, "", False, "false", "False", "no", "0", "Unspecified", [], {})


class UnusedParts:
    """Counts the parts and fields of annotations that are not read, by their names."""

    def __init__(self, file: str | None = None) -> None:
        """Prepare to count for one file, or for several if it is None."""
        self._at = Location(file=file)
        self._counts: Counter[str] = Counter()
        self._fields = UnreadFields(_DETAILS)

    def add(self, part: str) -> None:
        """Count one object that has the part."""
        self._counts[part] += 1

    def add_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Count the attributes of one object that have a value."""
        for name, value in attributes.items():
            if name in _BOX_ATTRIBUTES or value in (None, "", False, "false", "no"):
                continue
            if name in _DETAIL_ATTRIBUTES:
                self._fields.add(f"attributes.{name}", self._at)
            else:
                self.add(f"attribute {name}")

    def add_fields(self, fields: Mapping[str, Any], used: Collection[str] = (), *, prefix: str = "") -> None:
        """Count the fields of a record that have a value and are not in `used`."""
        for name, value in fields.items():
            if name not in used and value not in _NO_VALUES:
                self._fields.add(f"{prefix}{name}", self._at)

    def report(self, issues: IssueLog) -> None:
        """Add an issue for every part and field, with its number of records."""
        for part, count in self._counts.items():
            actual = f"{part}: {count:,}"
            issues.add("annotation_parts_not_read", at=self._at, actual=actual, count=count)
        self._fields.report(issues, read="class and box of objects")
