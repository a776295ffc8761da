"""Texts: a sentence, a review, a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.data.findings import Refused
from ml.data.kinds.base import Kind

if TYPE_CHECKING:
    from ml.data.findings import Findings, Place
    from ml.data.limits import Limits


class TextKind(Kind[str]):
    """A row holds the text as it was written, without the blanks around it."""

    name = "text"
    noun = "text"

    def __init__(self, *, findings: Findings, limits: Limits) -> None:
        super().__init__(findings=findings, limits=limits)
        self._values = 0
        self._letters = 0
        self._longest = 0

    def pack(self, value: str, at: Place) -> bytes:
        """UTF-8."""
        text = value.strip()
        if not text:
            raise Refused("text_missing")
        if len(text) > self.limits.max_text_letters:
            expected = f"at most {self.limits.max_text_letters:,} letters"
            raise Refused("text_too_long", found=f"{len(text):,} letters", expected=expected)
        self._values += 1
        self._letters += len(text)
        self._longest = max(self._longest, len(text))
        # A lone surrogate can stand in JSON, but in no file.
        return text.encode("utf-8", "replace")

    @classmethod
    def from_cell(cls, cell: Any) -> str:
        """As it is written; a missing value is an empty text."""
        if isinstance(cell, dict | list):
            raise Refused("text_not_plain", found=cell, expected="a text")
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
