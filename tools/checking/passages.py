"""Prose in a file: docstrings, comments, messages and paragraphs, each with its line."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tools.checking.sources import Module

#: Keyword arguments whose value a user reads, whatever its length.
READ_BY_USERS: Final = frozenset({"description", "detail", "expected", "help", "hint", "message", "summary", "title"})

#: Shorter string literals are keys, names or values, not prose.
MIN_WORDS: Final = 3

#: Start of the name of a test, which is a sentence.
TEST: Final = "test_"

#: Comments addressed to tools.
_DIRECTIVE: Final = re.compile(r"(noqa|type:|fmt:|ruff:|mypy:|pragma:|!|-\*-)")


class Place(Enum):
    """Kind of text a passage was read from."""

    DOCSTRING = "docstring"
    STRAY = "string after an assignment"
    COMMENT = "comment"
    LITERAL = "string"
    PARAGRAPH = "paragraph"
    HEADING = "heading"
    TEST_NAME = "name of a test"


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of prose and the line of the file on which it starts."""

    path: Path
    line: int
    text: str
    place: Place


def passages_of_module(module: Module) -> Iterator[Passage]:
    """List the docstrings, stray strings, literals, names of tests and comments of a Python file."""
    documented = _docstrings(module.nodes)
    inner: set[ast.AST] = set()
    read_by_users: set[ast.AST] = set()
    for node in module.nodes:
        if node in inner:
            continue
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)) as constant):
                inner.add(constant)
                place = Place.DOCSTRING if constant in documented else Place.STRAY
                yield Passage(module.path, constant.lineno, text, place)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith(TEST):
                yield Passage(module.path, node.lineno, name.removeprefix(TEST).replace("_", " "), Place.TEST_NAME)
            case ast.keyword(arg=str(name), value=value) if name in READ_BY_USERS:
                read_by_users.add(value)
            case ast.Constant(value=str()) | ast.JoinedStr() as literal:
                text = _join(literal, inner) if isinstance(literal, ast.JoinedStr) else str(literal.value)
                if len(text.split()) >= MIN_WORDS or literal in read_by_users:
                    yield Passage(module.path, literal.lineno, text, Place.LITERAL)
    yield from _comments(module)


def strings_of_module(module: Module) -> Iterator[Passage]:
    """List every string of a Python file, whatever its length, with the comments."""
    inner: set[ast.AST] = set()
    for node in module.nodes:
        if node not in inner and isinstance(node, ast.Constant | ast.JoinedStr):
            text = _join(node, inner) if isinstance(node, ast.JoinedStr) else node.value
            if isinstance(text, str):
                yield Passage(module.path, node.lineno, text, Place.LITERAL)
    yield from _comments(module)


def _docstrings(nodes: Iterable[ast.AST]) -> set[ast.AST]:
    """Collect the string nodes that are docstrings of the module, a class or a function."""
    documented: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documented.add(first.value)
    return documented


def _join(literal: ast.JoinedStr, inner: set[ast.AST]) -> str:
    """Join the constant parts of an f-string around `{}`, and note them as read."""
    parts = []
    for value in literal.values:
        if isinstance(value, ast.Constant):
            inner.add(value)
            parts.append(str(value.value))
        else:
            parts.append("{}")
    return "".join(parts)


def _comments(module: Module) -> Iterator[Passage]:
    """List comments; comments on consecutive lines are one passage.

    A comment between two parts of one implicitly concatenated string is not read.
    """
    strings: dict[int, list[tuple[int, int]]] = {}
    for node in module.nodes:
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            _note_columns(strings, node)
    lines = enumerate(module.text.split("\n"), start=1)
    comments = ((number, _comment(line, strings.get(number, ()))) for number, line in lines if "#" in line)
    yield from _blocks(module.path, ((number, comment) for number, comment in comments if comment))


def _note_columns(strings: dict[int, list[tuple[int, int]]], node: ast.JoinedStr | ast.Constant) -> None:
    """Record the columns of a string literal on every line it covers, in bytes."""
    end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
    for line in range(node.lineno, end_line + 1):
        start = node.col_offset if line == node.lineno else 0
        strings.setdefault(line, []).append((start, end_column if line == end_line else sys.maxsize))


def _comment(line: str, strings: Sequence[tuple[int, int]]) -> str:
    """Return what follows the first `#` outside of strings, or nothing."""
    encoded = line.encode()
    for match in re.finditer(b"#", encoded):
        if not any(start <= match.start() < end for start, end in strings):
            return encoded[match.start() :].decode()
    return ""


def _blocks(path: Path, comments: Iterable[tuple[int, str]]) -> Iterator[Passage]:
    start, lines = 0, list[str]()
    for line, comment in comments:
        text = comment.lstrip("#:").strip()
        if _DIRECTIVE.match(text):
            continue
        if lines and line != start + len(lines):
            yield Passage(path, start, "\n".join(lines), Place.COMMENT)
            lines = []
        start = start if lines else line
        lines.append(text)
    if lines:
        yield Passage(path, start, "\n".join(lines), Place.COMMENT)


def passages_of_markdown(path: Path) -> Iterator[Passage]:
    """List the paragraphs, list items, table cells and headings outside of fenced code."""
    lines = path.read_text(encoding="utf-8").splitlines()
    fence, start, paragraph = "", 0, list[str]()
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        opens = re.match(r"(```+|~~~+)", stripped)
        if opens or fence or not stripped or re.match(r"(#+ |[-*+] |\d+\. |\||>)", stripped):
            if paragraph:
                yield Passage(path, start, "\n".join(paragraph), Place.PARAGRAPH)
            paragraph = []
        if fence:
            fence = "" if stripped.startswith(fence) else fence
        elif opens:
            fence = opens.group()
        elif stripped.startswith("#"):
            yield Passage(path, number, stripped.lstrip("# "), Place.HEADING)
        elif stripped.startswith("|"):
            yield from (Passage(path, number, cell.strip(), Place.PARAGRAPH) for cell in stripped.strip("|").split("|"))
        elif stripped:
            start = start if paragraph else number
            paragraph.append(re.sub(r"^([-*+]|\d+\.|>) ", "", stripped))
    if paragraph:
        yield Passage(path, start, "\n".join(paragraph), Place.PARAGRAPH)


def passages_of_settings(path: Path) -> Iterator[Passage]:
    """List the `#` comments of a Makefile, Dockerfile, YAML, TOML, shell or environment file."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    marks = ((number, re.search(r"(?:^|\s)(#.*)", line)) for number, line in lines)
    yield from _blocks(path, ((number, mark.group(1)) for number, mark in marks if mark))
