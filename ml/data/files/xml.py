"""Safe XML reader for untrusted files, as a stream or as a whole document.

Only the five entities that XML predefines are expanded, nothing outside the file is fetched, and the nesting depth is
limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ml.data.issues import DataRejected, Location

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 64


class XmlReader:
    """Streaming parser with callbacks `on_start(name, attributes)`, `on_end(name)` and `on_text(text)`."""

    def __init__(
        self,
        *,
        on_start: Callable[[str, dict[str, str]], object],
        on_end: Callable[[str], object],
        on_text: Callable[[str], object],
    ) -> None:
        self._on_start = on_start
        self._on_end = on_end
        self._depth = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start_element
        self._parser.EndElementHandler = self._end_element
        self._parser.CharacterDataHandler = on_text
        self._parser.EntityDeclHandler = self._reject_entity
        self._parser.SkippedEntityHandler = self._reject_entity

    def feed(self, data: bytes, *, is_last: bool) -> None:
        """Parse more bytes; raises `DataRejected` with the line of a fault."""
        try:
            self._parser.Parse(data, is_last)
        except expat.ExpatError as error:
            raise DataRejected(
                "xml_invalid", actual=expat.ErrorString(error.code), at=Location(line=error.lineno)
            ) from error

    @property
    def location(self) -> Location:
        """Line that is being parsed."""
        return Location(line=self._parser.CurrentLineNumber)

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise DataRejected("xml_too_deep", expected=f"at most {MAX_DEPTH} levels", at=self.location)
        self._on_start(name, attributes)

    def _end_element(self, name: str) -> None:
        self._depth -= 1
        self._on_end(name)

    def _reject_entity(self, name: str, *_: Any) -> None:
        raise DataRejected("xml_entity", actual=name, at=self.location)


def read_xml(data: bytes) -> Element:
    """Return the root element of a whole document; raises `DataRejected`."""
    builder = TreeBuilder()
    reader = XmlReader(on_start=builder.start, on_end=builder.end, on_text=builder.data)
    reader.feed(data, is_last=True)
    root: Element = builder.close()
    return root
