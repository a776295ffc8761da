"""Texts: a sentence, a review, a document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types._running_range import RunningRange
from ml.data.column_types.base import ColumnType, cell_to_text
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

#: Characters to show on both sides of a reported one.
CONTEXT_CHARACTERS: Final = 12
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: The replacement character, and accents and quotes in UTF-8 that were decoded as Latin-1.
_GARBLED: Final = re.compile("\N{REPLACEMENT CHARACTER}|\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac")


class TextType(ColumnType[str]):
    """Rows contain the text as written, without surrounding whitespace."""

    name = "text"
    noun = "text"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._lengths = RunningRange()

    def pack(self, value: str, at: Location) -> bytes:
        """Return the text in UTF-8."""
        text = value.strip()
        if not text:
            raise DataRejected("text_missing")
        if len(text) > self.limits.max_text_characters:
            expected = f"at most {self.limits.max_text_characters:,} characters"
            raise DataRejected("text_too_long", actual=f"{len(text):,} characters", expected=expected)
        for code, pattern in (("text_misread", _GARBLED), ("text_control_characters", _CONTROL)):
            if match := pattern.search(text):
                context = text[max(0, match.start() - CONTEXT_CHARACTERS) : match.end() + CONTEXT_CHARACTERS]
                self.issues.add(code, at=at, actual=context)
        self._lengths.add(len(text))
        # JSON may contain a lone surrogate, which UTF-8 cannot encode.
        return text.encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """Return the text in a cell, empty if missing."""
        if isinstance(cell, dict | list):
            raise DataRejected("text_not_plain", actual=cell, expected="a string")
        return cell_to_text(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """Return the text."""
        return data.decode()

    def facts(self) -> dict[str, Any]:
        """Return the lengths of texts in characters (code points)."""
        return {"mean_characters": self._lengths.mean, "max_characters": int(self._lengths.max)}
