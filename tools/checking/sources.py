"""Files of the repository that the checks read."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Top-level folders with Python code, checked when no path is named on the command line.
ROOMS: Final = ("app", "benchmarks", "migrations", "ml", "plinth", "store", "tests", "tools", "worker")

#: Folders that hold no source of ours.
SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist", "site"})


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed Python file."""

    path: Path
    text: str
    tree: ast.Module
    #: All nodes of the tree but expression contexts, a parent before its children.
    nodes: tuple[ast.AST, ...]


def load_module(path: Path) -> Module:
    """Parse one Python file; a file is parsed once in a process."""
    return _parse(path, path.resolve())


@cache
def _parse(path: Path, _absolute: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(path))
    return Module(path, text, tree, tuple(_nodes(tree)))


def _nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk a tree three times as fast as `ast.walk`."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        for value in vars(node).values():
            if isinstance(value, list):
                stack.extend(item for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                stack.append(value)


def python_modules(paths: Sequence[Path]) -> Iterator[Module]:
    """Parse the Python files in `paths`, which are files and folders, sorted by path."""
    for path in files(paths, suffixes=frozenset({".py"})):
        yield load_module(path)


def files(paths: Sequence[Path], *, suffixes: frozenset[str] | None) -> Iterator[Path]:
    """List the files with one of the suffixes, or all for None, sorted by path.

    Hidden folders, caches and symbolic links are skipped.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    for path in paths:
        if path.is_file():
            if suffixes is None or path.suffix in suffixes:
                yield path
        elif path.is_dir():
            children = [child for child in path.iterdir() if not _is_skipped(child)]
            yield from files(sorted(children), suffixes=suffixes)
        else:
            raise FileNotFoundError(f"No such file or folder: {path}")


def _is_skipped(path: Path) -> bool:
    return path.is_symlink() or (path.is_dir() and (path.name in SKIPPED or path.name.startswith(".")))


def default_paths(root: Path = Path()) -> list[Path]:
    """Return the rooms that exist below `root`."""
    return [root / room for room in ROOMS if (root / room).is_dir()]
