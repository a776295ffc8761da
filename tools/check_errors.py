"""Report errors for users that have no next step.

python -m tools.check_errors [PATHS]

A message passes if it states what is required or what to do. One that is put together elsewhere is not read.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.checking.allowlist import Allowlist
from tools.checking.sources import default_paths, python_modules
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tools.checking.sources import Module

CONFIG: Final = Path(__file__).with_name("errors.toml")

#: Top-level folders whose errors users read.
PRODUCT: Final = ("app/", "ml/", "plinth/", "store/", "worker/")

#: Arguments that bear the next step, or findings that do.
HINTS: Final = frozenset({"errors", "expected", "findings", "hint"})

#: A second clause, or a requirement: what is required is what to do.
_STEP: Final = re.compile(r"[;:.] \S|\{\} [A-Z]|\b(must|should|needs?|only)\b")

#: A string with this many words is a message, and no code or path.
MIN_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """Calls that make an error for a user, and first words of a next step."""

    names: frozenset[str]
    validator_names: frozenset[str]
    validator_rooms: tuple[str, ...]
    verbs: frozenset[str]
    allowed: Allowlist

    @classmethod
    def load(cls, path: Path = CONFIG) -> ErrorRules:
        """Read the rules.

        Raises:
            ValueError: an exemption has no reason.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(
            frozenset(tables["names"]),
            frozenset(tables["validator_names"]),
            tuple(tables["validator_rooms"]),
            frozenset(tables["verbs"]),
            Allowlist.from_tables(path, tables.get("allow", ()), key="call"),
        )

    def covers(self, call: str, path: Path) -> bool:
        """Return whether a call makes an error for a user in this file."""
        if call in self.validator_names:
            return any(fnmatchcase(path.as_posix(), room) for room in self.validator_rooms)
        return call in self.names

    def has_step(self, message: str) -> bool:
        """Return whether a message states what is required or what to do next."""
        return bool(_STEP.search(message)) or message.partition(" ")[0].capitalize() in self.verbs


def check(modules: Iterable[Module], rules: ErrorRules) -> Iterator[Violation]:
    """Report every message without a next step."""
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _check_function(node, module.path, rules)


def _check_function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path, rules: ErrorRules
) -> Iterator[Violation]:
    texts: dict[str, str] = {}
    for node in sorted(_statements(function), key=lambda node: node.lineno):
        if isinstance(node, ast.Assign):
            texts |= {target.id: _text(node.value, texts) for target in node.targets if isinstance(target, ast.Name)}
            continue
        call = ast.unparse(node.func).rpartition(".")[2]
        message = _message(node, texts)
        has_step = not message or _has_hint(node) or rules.has_step(message)
        if rules.covers(call, path) and not has_step and not rules.allowed.permits(call, path):
            text = f"{call}({message!r}) has no next step; add a hint, or a clause after a semicolon"
            yield Violation(path, node.lineno, text)


def _statements(function: ast.AST) -> Iterator[ast.Assign | ast.Call]:
    """List the assignments and calls of a function without those of functions in it."""
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Assign | ast.Call):
            yield node
        pending.extend(ast.iter_child_nodes(node))


def _has_hint(call: ast.Call) -> bool:
    return any(
        keyword.arg in HINTS and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
        for keyword in call.keywords
    )


def _message(call: ast.Call, texts: Mapping[str, str]) -> str:
    """Return the texts of the arguments as clauses; empty if none can be read.

    The second text of a call is the next step, as in `_refuse("does not exist", "List jobs.")`.
    """
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in ("message", "detail"))]
    parts = [_text(argument, texts) for argument in arguments]
    return ". ".join(part for part in parts if len(part.split()) >= MIN_WORDS)


def _text(node: ast.expr, texts: Mapping[str, str]) -> str:
    """Return the text of a literal or variable, with `{}` for values; else nothing."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(part, texts) or "{}" for part in values)
        case ast.FormattedValue(value=value):
            return _text(value, texts)
        case ast.Name(id=name):
            return texts.get(name, "")
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_errors", description="Report errors without a hint.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: every room of the product")
    options = parser.parse_args(arguments)
    rules = ErrorRules.load()
    modules = python_modules(options.paths or default_paths())
    violations = list(check((module for module in modules if module.path.as_posix().startswith(PRODUCT)), rules))
    if not options.paths:
        violations.extend(rules.allowed.list_unused())
    return report(violations)


if __name__ == "__main__":
    sys.exit(main())
