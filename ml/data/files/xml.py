"""XML of strangers, read as a stream or whole: elements and texts, and nothing that makes a reader fetch or repeat.

No entity is expanded but XML's own five, nothing outside of the file is looked at, and no tower of elements is climbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST: Final = 64


class XmlReader:
    """Calls back for what it reads: `start(name, attributes)`, `end(name)`, `letters(text)`."""

    def __init__(
        self,
        *,
        start: Callable[[str, dict[str, str]], object],
        end: Callable[[str], object],
        letters: Callable[[str], object],
    ) -> None:
        self._start = start
        self._end = end
        self._depth = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begun
        self._parser.EndElementHandler = self._ended
        self._parser.CharacterDataHandler = letters
        self._parser.EntityDeclHandler = self._entity
        self._parser.SkippedEntityHandler = self._entity

    def feed(self, piece: bytes, *, last: bool) -> None:
        """Some more bytes; raises `DataRejected` with the line."""
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as error:
            raise DataRejected(
                "xml_invalid", found=expat.ErrorString(error.code), at=Location(line=error.lineno)
            ) from error

    @property
    def place(self) -> Location:
        """The line that is being read."""
        return Location(line=self._parser.CurrentLineNumber)

    def _begun(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise DataRejected("xml_too_deep", expected=f"at most {DEEPEST} levels", at=self.place)
        self._start(name, attributes)

    def _ended(self, name: str) -> None:
        self._depth -= 1
        self._end(name)

    def _entity(self, name: str, *_: Any) -> None:
        raise DataRejected("xml_entity", found=name, at=self.place)


def read_xml(data: bytes) -> Element:
    """The root element of a whole document; raises `DataRejected`."""
    builder = TreeBuilder()
    reader = XmlReader(start=builder.start, end=builder.end, letters=builder.data)
    reader.feed(data, last=True)
    root: Element = builder.close()
    return root
