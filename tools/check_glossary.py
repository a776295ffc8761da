"""Report glossary entries without code, and two public classes with one name.

python -m tools.check_glossary
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

from tools.findings import Finding, report
from tools.sources import Module, python_modules
from tools.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

GLOSSARY: Final = Path("docs/glossary.toml")

#: Top-level folders whose public classes share one space of names.
ROOMS: Final = ("app", "ml", "plinth", "store", "tools", "worker")


@dataclass(frozen=True, slots=True)
class Entry:
    """A word, its meaning, and the modules, classes or functions that carry it."""

    word: str
    meaning: str
    carried_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Modules (globs) that may define one class each under the same name."""

    modules: tuple[str, ...]
    reason: str
    #: The names for which this holds; all if empty.
    classes: tuple[str, ...] = ()

    def covers(self, name: str, modules: Sequence[str]) -> bool:
        """Return whether each module matches a glob of its own."""
        if self.classes and name not in self.classes:
            return False
        matches = [[glob for glob in self.modules if fnmatchcase(module, glob)] for module in modules]
        return all(matches) and len({globs[0] for globs in matches}) == len(modules)


@dataclass(frozen=True, slots=True)
class Glossary:
    """Words of the repository and the names that several classes may share."""

    path: Path
    entries: tuple[Entry, ...]
    families: tuple[Family, ...]

    @classmethod
    def load(cls, path: Path = GLOSSARY) -> Glossary:
        """Read the glossary from TOML.

        Raises:
            ValueError: an exemption has no reason.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        words = (Entry(table["word"], table["meaning"], tuple(table["carried_by"])) for table in tables["entry"])
        families = [
            Family(tuple(table["modules"]), table.get("reason", ""), tuple(table.get("classes", ())))
            for table in tables.get("same_name", ())
        ]
        for family in families:
            if not family.reason.strip():
                raise ValueError(f"{path}: the exemption for {', '.join(family.modules)} has no reason; add one")
        return cls(path, tuple(words), tuple(families))

    def line_of(self, text: str) -> int:
        """Return the first line of the file with a quoted text, for a message."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return next((number for number, line in enumerate(lines, start=1) if f'"{text}"' in line), 1)


@dataclass(frozen=True, slots=True)
class PublicClass:
    """A top-level class whose name does not start with an underscore."""

    module: str
    path: Path
    line: int


def check(glossary: Glossary, modules: Iterable[Module], symbols: Symbols) -> Iterator[Finding]:
    """Report repeated words, names that do not exist, and names of several classes."""
    words: set[str] = set()
    for entry in glossary.entries:
        line = glossary.line_of(entry.word)
        if entry.word.lower() in words:
            yield Finding(glossary.path, line, f"{entry.word!r} is listed twice")
        words.add(entry.word.lower())
        for name in entry.carried_by:
            if not symbols.exists(name):
                yield Finding(glossary.path, glossary.line_of(name), f"{entry.word!r}: {name} does not exist")
    yield from _same_names(glossary, public_classes(modules))


def _same_names(glossary: Glossary, classes: dict[str, list[PublicClass]]) -> Iterator[Finding]:
    used: set[Family] = set()
    for name, places in classes.items():
        modules = [place.module for place in places]
        covering = {family for family in glossary.families if len(places) > 1 and family.covers(name, modules)}
        used |= covering
        if len(places) > 1 and not covering:
            for place in places:
                others = ", ".join(module for module in modules if module != place.module)
                yield Finding(place.path, place.line, f"public class {name!r} has the name of one in {others}")
    for family in glossary.families:
        if family not in used:
            line = glossary.line_of(family.modules[0])
            yield Finding(glossary.path, line, f"exemption for {', '.join(family.modules)} covers nothing; delete it")


def public_classes(modules: Iterable[Module]) -> dict[str, list[PublicClass]]:
    """Map the name of each public class to the places where it is defined."""
    classes: dict[str, list[PublicClass]] = {}
    for module in modules:
        dotted = re.sub(r"\.__init__$", "", ".".join(module.path.with_suffix("").parts))
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append(PublicClass(dotted, module.path, node.lineno))
    return classes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_glossary", description="Check words and class names.")
    parser.parse_args(arguments)
    modules = python_modules([Path(room) for room in ROOMS if Path(room).is_dir()])
    return report(check(Glossary.load(), modules, Symbols()))


if __name__ == "__main__":
    sys.exit(main())
