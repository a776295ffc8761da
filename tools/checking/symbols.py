"""Names of modules, classes and functions resolved by reading files, without importing them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from tools.checking.sources import load_module


@dataclass(frozen=True, slots=True)
class Symbols:
    """Modules, classes and functions of the repository below `root`."""

    root: Path = field(default_factory=Path)

    def exists(self, name: str) -> bool:
        """Return whether a name like `package.module.Class.attribute` or `package.module:function` exists."""
        module, attributes = self._split(name)
        return module is not None and self._has(module, attributes)

    def source(self, name: str) -> str:
        """Return the paths and texts of the modules that a name stands for."""
        module, _ = self._split(name)
        if module is None:
            return ""
        files = [module] if module.suffix and module.name != "__init__.py" else sorted(_folder(module).glob("*.py"))
        return "\n".join(f"{path}\n{load_module(path).text}" for path in files)

    def _split(self, name: str) -> tuple[Path | None, list[str]]:
        """Split a name into the file of a module and the attributes after it."""
        parts = name.replace(":", ".").split(".")
        for length in range(len(parts), 0, -1):
            module = self.module(".".join(parts[:length]))
            if module is not None:
                return module, parts[length:]
        return None, parts

    def module(self, name: str) -> Path | None:
        """Return the file of a module, the folder of a namespace package, or None."""
        stem = self.root.joinpath(*name.split("."))
        if stem.with_suffix(".py").is_file():
            return stem.with_suffix(".py")
        if (stem / "__init__.py").is_file():
            return stem / "__init__.py"
        return stem if stem.is_dir() and any(stem.glob("*.py")) else None

    def _has(self, module: Path, attributes: list[str]) -> bool:
        if not attributes:
            return True
        if not module.is_file():
            return False
        body: list[ast.stmt] | None = load_module(module).tree.body
        for attribute in attributes:
            if body is None:
                return True  # An attribute of a value: its type is not read.
            bound = bindings(body)
            if attribute not in bound:
                return False
            node = bound[attribute]
            body = node.body if isinstance(node, ast.ClassDef) else None
        return True


def _folder(module: Path) -> Path:
    return module if module.is_dir() else module.parent


def bindings(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Map the names bound in the body of a module or class to their statements.

    Names that methods set on `self` belong to the class.
    """
    bound: dict[str, ast.stmt] = {}
    for statement in body:
        match statement:
            case ast.ClassDef(name=name):
                bound[name] = statement
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                bound[name] = statement
                bound.update(dict.fromkeys(_set_on_self(statement), statement))
            case ast.If() | ast.Try() | ast.With():
                for inner in (statement.body, getattr(statement, "orelse", []), getattr(statement, "finalbody", [])):
                    bound.update(bindings(inner))
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                bound.update({alias.asname or alias.name.partition(".")[0]: statement for alias in aliases})
            case ast.Assign() | ast.AnnAssign():
                stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
                bound.update({node.id: statement for node in stored if isinstance(node.ctx, ast.Store)})
    return bound


def _set_on_self(function: ast.stmt) -> set[str]:
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
