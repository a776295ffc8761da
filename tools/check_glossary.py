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

from tools.checking.sources import Module, python_modules
from tools.checking.symbols import Symbols
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

GLOSSARY: Final = Path("docs/glossary.toml")

#: Top-level folders of the wheel: no two of their public classes share a name.
ROOMS: Final = ("app", "ml", "plinth", "store", "worker")


@dataclass(frozen=True, slots=True)
class GlossaryEntry:
    """A word, its meaning, and the modules, classes or functions that carry it."""

    word: str
    meaning: str
    carried_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedName:
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
    entries: tuple[GlossaryEntry, ...]
    shared_names: tuple[SharedName, ...]

    @classmethod
    def load(cls, path: Path = GLOSSARY) -> Glossary:
        """Read the glossary from TOML.

        Raises:
            ValueError: an exemption has no reason.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = [
            GlossaryEntry(table["word"], table["meaning"], tuple(table["carried_by"])) for table in tables["entry"]
        ]
        shared_names = [
            SharedName(tuple(table["modules"]), table.get("reason", ""), tuple(table.get("classes", ())))
            for table in tables.get("same_name", ())
        ]
        for shared in shared_names:
            if not shared.reason.strip():
                raise ValueError(f"{path}: the exemption for {', '.join(shared.modules)} has no reason; add one")
        return cls(path, tuple(entries), tuple(shared_names))

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


def check(glossary: Glossary, modules: Iterable[Module], symbols: Symbols) -> Iterator[Violation]:
    """Report repeated words, names that do not exist, and names of several classes."""
    words: set[str] = set()
    for entry in glossary.entries:
        line = glossary.line_of(entry.word)
        if entry.word.lower() in words:
            yield Violation(glossary.path, line, f"{entry.word!r} is listed twice")
        words.add(entry.word.lower())
        if not any(_plain(entry.word) in _plain(symbols.source(name)) for name in entry.carried_by):
            message = f"{entry.word!r} occurs in no module that carries it: a search for the word misses them"
            yield Violation(glossary.path, line, message)
        for name in entry.carried_by:
            if not symbols.exists(name):
                yield Violation(glossary.path, glossary.line_of(name), f"{entry.word!r}: {name} does not exist")
    yield from _same_names(glossary, public_classes(modules))


def _plain(text: str) -> str:
    """Split identifiers into words, in lower case: `ChildProcess` and `child_process` become `child process`."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.sub(r"[\s_./-]+", " ", separated).lower()


def _same_names(glossary: Glossary, classes: dict[str, list[PublicClass]]) -> Iterator[Violation]:
    used: set[SharedName] = set()
    for name, places in classes.items():
        modules = [place.module for place in places]
        covering = {shared for shared in glossary.shared_names if len(places) > 1 and shared.covers(name, modules)}
        used |= covering
        if len(places) > 1 and not covering:
            for place in places:
                others = ", ".join(module for module in modules if module != place.module)
                yield Violation(place.path, place.line, f"public class {name!r} has the name of one in {others}")
    for shared in glossary.shared_names:
        if shared not in used:
            line = glossary.line_of(shared.modules[0])
            yield Violation(glossary.path, line, f"exemption for {', '.join(shared.modules)} covers nothing; delete it")


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
