"""Texts: a sentence, a review, a document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ml.data.column_types.base import ColumnType
from ml.data.issues import DataRejected

if TYPE_CHECKING:
    from ml.data.issues import IssueLog, Location
    from ml.data.limits import Limits

AROUND: Final = 12
"""Letters shown on both sides of one that is odd."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MISREAD: Final = re.compile("\N{REPLACEMENT CHARACTER}|\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac")
"""What stands for a letter that could not be read; and accents and quotes whose UTF-8 was read as Latin-1."""


class TextType(ColumnType[str]):
    """A row holds the text as it was written, without the blanks around it."""

    name = "text"
    noun = "text"

    def __init__(self, *, issues: IssueLog, limits: Limits) -> None:
        super().__init__(issues=issues, limits=limits)
        self._values = 0
        self._letters = 0
        self._longest = 0

    def pack(self, value: str, at: Location) -> bytes:
        """UTF-8."""
        text = value.strip()
        if not text:
            raise DataRejected("text_missing")
        if len(text) > self.limits.max_text_characters:
            expected = f"at most {self.limits.max_text_characters:,} letters"
            raise DataRejected("text_too_long", actual=f"{len(text):,} letters", expected=expected)
        for code, signs in (("text_misread", _MISREAD), ("text_control_characters", _CONTROL)):
            if odd := signs.search(text):
                around = text[max(0, odd.start() - AROUND) : odd.end() + AROUND]
                self.issues.add(code, at=at, actual=around)
        self._values += 1
        self._letters += len(text)
        self._longest = max(self._longest, len(text))
        # A lone surrogate can stand in JSON, but in no file.
        return text.encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """As it is written; a missing value is an empty text."""
        if isinstance(cell, dict | list):
            raise DataRejected("text_not_plain", actual=cell, expected="a text")
        if isinstance(cell, bytes):
            return cell.decode("utf-8", "replace")
        return "" if cell is None else str(cell)

    @classmethod
    def unpack(cls, data: bytes) -> str:
        """The text."""
        return data.decode()

    def facts(self) -> dict[str, Any]:
        """How long texts are, in letters (code points)."""
        return {"mean_letters": self._letters / max(1, self._values), "max_letters": self._longest}
