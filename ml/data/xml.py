"""XML of strangers: elements and texts, without anything that a document could make a reader fetch or repeat."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ml.data.findings import Refused


def read_xml(data: bytes) -> Element:
    """The root element; raises `Refused`. A document that declares a type is none: entities are declared there."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
        root: Element = builder.close()
    except (expat.ExpatError, ValueError, AssertionError) as error:
        raise Refused("annotation_invalid", found=error, expected="XML") from None
    return root


def _refuse(*_: object) -> None:
    raise Refused("annotation_invalid", found="<!DOCTYPE", expected="plain elements, without a document type")
