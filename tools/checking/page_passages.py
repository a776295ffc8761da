"""Prose and names in the scripts, styles and templates of the pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tools.checking.passages import MIN_WORDS, Passage, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Suffixes of the files that this module reads.
SUFFIXES: Final = frozenset({".css", ".html", ".js"})

#: Comments and string literals of JavaScript and CSS, in the order of the text; a `//` inside of a string is none.
_TOKEN: Final = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)""",
    re.DOTALL,
)

#: Tags, and expressions and statements of Jinja.
_MARKUP: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<[^>]*>", re.DOTALL)

#: Places of JavaScript that bind names: declarations, destructuring, parameters of functions.
_BINDINGS: Final = re.compile(
    r"\bfunction\b\s*(?P<function>[\w$]*)\s*\((?P<parameters>[^()]*)\)"
    r"|\b(?:const|let|var|class)\s+(?P<name>[\w$]+)"
    r"|\b(?:const|let|var)\s*[\[{](?P<parts>[^\]}=]*)[\]}]\s*(?:=|of\b)"
    r"|\((?P<arrow>[^()]*)\)\s*=>"
    r"|(?<![\w.$])(?P<single>[\w$]+)\s*=>"
)


def passages_of_page_file(path: Path) -> Iterator[Passage]:
    """List comments and strings of a script or style, or the text of a template."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        for line, content in enumerate(_MARKUP.sub(_blank, text).split("\n"), start=1):
            if content.strip():
                yield Passage(path, line, content.strip(), Place.PARAGRAPH)
        return
    for token in _TOKEN.finditer(text):
        line = text.count("\n", 0, token.start()) + 1
        if token["comment"]:
            yield Passage(path, line, token["comment"].strip("/* \n"), Place.COMMENT)
        elif len(token["string"].split()) >= MIN_WORDS:
            yield Passage(path, line, re.sub(r"\$\{[^}]*\}", "{}", token["string"][1:-1]), Place.LITERAL)


def names_of_script(path: Path) -> Iterator[tuple[str, int]]:
    """List the names that a script binds, with their lines."""
    text = _TOKEN.sub(_blank, path.read_text(encoding="utf-8"))
    for binding in _BINDINGS.finditer(text):
        line = text.count("\n", 0, binding.start()) + 1
        yield from ((name, line) for part in binding.groups() if part for name in re.findall(r"[A-Za-z_$][\w$]*", part))


def _blank(match: re.Match[str]) -> str:
    """Replace a match by as many spaces, so that lines stay."""
    return re.sub(r"[^\n]", " ", match.group())
