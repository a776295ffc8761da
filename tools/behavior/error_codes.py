"""Collects the error codes of a checkout from its source and its OpenAPI document."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

FOLDERS = ("app", "ml", "store", "worker")
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
ERROR_STATUSES = range(400, 600)
#: A dict of at least as many calls by string is a catalog of problems.
CATALOG_ENTRIES = 20


def in_source(checkout: Path) -> list[str]:
    """Every string in a position where codes are written.

    These are a keyword or dict entry `code`, a class attribute `code`, what follows an HTTP status in a call or tuple,
    the keys of a catalog of problems, and the members of an enum or `Literal` whose name ends in `Code`.
    """
    files = (path for folder in FOLDERS for path in (checkout / folder).rglob("*.py"))
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_bytes())))
    return sorted({code for node in nodes for code in _codes(node) if CODE.fullmatch(code.replace("*", "x"))})


def in_openapi(document: Any) -> list[str]:
    """Codes in examples, and in the enums of schemas whose name ends in `Code`."""
    schemas = document.get("components", {}).get("schemas", {})
    listed = {code for name, schema in schemas.items() if name.endswith("Code") for code in schema.get("enum", ())}
    return sorted(listed | set(_examples(document)))


def _examples(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        code = value.get("code")
        if isinstance(code, str):
            yield code
        for entry in value.values():
            yield from _examples(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _examples(entry)


def _codes(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(args=arguments, keywords=keywords):
            yield from _after_status(arguments)
            yield from (text for keyword in keywords if keyword.arg == "code" for text in _text(keyword.value))
        case ast.Tuple(elts=elements):
            yield from _after_status(elements)
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield from _text(value)
            if len(keys) >= CATALOG_ENTRIES and all(isinstance(value, ast.Call) for value in values):
                yield from (text for key in keys if key is not None for text in _text(key))
        case ast.ClassDef(name=name, body=body):
            yield from _of_class(name, body)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(slice=ast.Tuple(elts=elements))):
            if name.endswith("Code"):
                yield from (text for element in elements for text in _text(element))


def _of_class(name: str, body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=attribute)], value=value)
                | ast.AnnAssign(target=ast.Name(id=attribute), value=ast.expr() as value)
            ):
                if attribute == "code" or name.endswith("Code"):
                    yield from _text(value)


def _after_status(expressions: list[ast.expr]) -> Iterator[str]:
    for status, code in pairwise(expressions):
        if _is_status(status):
            yield from _text(code)


def _is_status(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=int(status)):
            return status in ERROR_STATUSES
        case ast.Attribute(value=ast.Name(id="HTTPStatus")):
            return True
        case ast.Name(id=name):
            return name.isupper() and "MISMATCH" in name
    return False


def _text(node: ast.expr) -> Iterator[str]:
    """The string itself; what an f-string fills in is written as `*`."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
