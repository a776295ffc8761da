"""Report vague names of variables, parameters, attributes and functions, and functions named by a participle.

python -m tools.check_names [--figures] [PATHS]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.checking.allowlist import Allowlist
from tools.checking.page_passages import names_of_script
from tools.checking.sources import Module, default_paths, files, python_modules
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIG: Final = Path(__file__).with_name("names.toml")

#: Decorators that turn a function into a value, which an adjective may name.
_VALUES: Final = frozenset({"cached_property", "fixture", "property"})

#: The suffix that names the axes of a tensor: `image_BCHW`.
_AXES: Final = re.compile(r"_[A-Z][A-Z0-9]*$")


@dataclass(frozen=True, slots=True)
class NameRules:
    """Banned names and limit prefixes with their replacements, and the exemptions."""

    banned: Mapping[str, str]
    limits: Mapping[str, str]
    #: Banned names that are fields of a public document, with the reason: allowed as attribute, keyword and field.
    fields: Mapping[str, str]
    #: Participles that do not end in -ed, and verbs that do.
    irregular_participles: frozenset[str]
    verbs: frozenset[str]
    allowed: Allowlist

    @classmethod
    def load(cls, path: Path = CONFIG) -> NameRules:
        """Read the rules from TOML."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        allowed = Allowlist.from_tables(path, tables.get("allow", ()), key="name")
        participles = tables["participles"]
        irregular, verbs = frozenset(participles["irregular"]), frozenset(participles["verbs"])
        return cls(tables["banned"], tables["limits"], tables.get("fields", {}), irregular, verbs, allowed)


def check(modules: Sequence[Module], rules: NameRules) -> Iterator[Violation]:
    """Report every place of a banned name, and functions named by a participle."""
    for module in modules:
        for name, line, is_field in names(module):
            if is_field and name in rules.fields:
                continue
            if (message := _fault(name, rules)) and not rules.allowed.permits(_stem(name), module.path):
                yield Violation(module.path, line, message)
        yield from _participles(module, rules)


def check_scripts(paths: Sequence[Path], rules: NameRules) -> Iterator[Violation]:
    """Report every place of a JavaScript file that binds a banned name."""
    for path in paths:
        for name, line in names_of_script(path):
            if message := _fault(name, rules):
                yield Violation(path, line, message)


def _participles(module: Module, rules: NameRules) -> Iterator[Violation]:
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_value(node):
            stem = node.name.strip("_")
            is_regular = stem.endswith("ed") and "_" not in stem and stem not in rules.verbs
            if (is_regular or stem in rules.irregular_participles) and not rules.allowed.permits(stem, module.path):
                message = f"function `{node.name}` is named by a participle; use the verb, or the noun that it returns"
                yield Violation(module.path, node.lineno, message)


def _is_value(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    decorators = (part.func if isinstance(part, ast.Call) else part for part in function.decorator_list)
    return any(ast.unparse(decorator).rpartition(".")[2] in _VALUES for decorator in decorators)


def names(module: Module) -> Iterator[tuple[str, int, bool]]:
    """List the names of a module, with line and whether it is a field.

    Attributes, keyword arguments and annotated names in a class body count as fields.
    """
    fields = {
        statement.target
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in module.nodes:
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                yield name, line, node in fields
            case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                yield name, line, True
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, line, False
            case ast.ExceptHandler(name=str(name)):
                yield name, line, False
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name, line, False
            case ast.MatchClass(kwd_attrs=several):
                yield from ((name, line, True) for name in several)
            case ast.Global(names=several) | ast.Nonlocal(names=several):
                yield from ((name, line, False) for name in several)
            case ast.alias(name=name, asname=alias):
                yield from ((part, line, False) for part in name.split("."))
                if alias is not None:
                    yield alias, line, False


def _stem(name: str) -> str:
    return _AXES.sub("", name.strip("_")) or name


def _fault(name: str, rules: NameRules) -> str | None:
    stem = _stem(name)
    if stem in rules.banned:
        return f"vague name `{name}`; name what it is ({rules.banned[stem]})"
    for prefix, replacement in rules.limits.items():
        if name.lstrip("_").startswith(prefix):
            return f"limit `{name}`; start it with {replacement}"
    return None


def figures(modules: Sequence[Module], rules: NameRules) -> Iterator[str]:
    """Describe the banned names per 1,000 lines of code, one line a room."""
    lines: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {}
    for module in modules:
        room = module.path.parts[0]
        lines[room] += module.text.count("\n")
        tally = counts.setdefault(room, Counter())
        tally.update(
            stem
            for name, _, is_field in names(module)
            if (stem := _stem(name)) in rules.banned and not (is_field and name in rules.fields)
        )
    for room, tally in counts.items():
        thousands = max(lines[room], 1) / 1000
        commonest = ", ".join(f"{name} {count / thousands:.1f}" for name, count in tally.most_common(3))
        yield f"{room:12}{lines[room]:7,} lines{tally.total() / thousands:8.1f} vague names per 1,000   {commonest}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_names", description="Report vague names.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: every room")
    parser.add_argument("--figures", action="store_true", help="print vague names per 1,000 lines instead")
    options = parser.parse_args(arguments)
    rules = NameRules.load()
    paths = options.paths or default_paths()
    modules = list(python_modules(paths))
    if options.figures:
        sys.stdout.writelines(f"{line}\n" for line in figures(modules, rules))
        return 0
    findings = list(check(modules, rules))
    findings.extend(check_scripts(list(files(paths, suffixes=frozenset({".js"}))), rules))
    if not options.paths:
        findings.extend(rules.allowed.list_unused())
    return report(findings)


if __name__ == "__main__":
    sys.exit(main())
