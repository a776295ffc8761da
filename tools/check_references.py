"""Report references to modules and paths of the repository that do not exist.

Read are the strings and comments of the code, the Markdown documents, and the build and deployment files.

    python -m tools.check_references [PATHS]
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.checking.allowlist import Allowlist
from tools.checking.links import broken_links
from tools.checking.passages import strings_of_module
from tools.checking.sources import ROOMS, default_paths, files, load_module
from tools.checking.symbols import Symbols
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIG: Final = Path(__file__).with_name("references.toml")

_TOP: Final = "|".join(ROOMS)

#: `ml.spec.schema`, `app.main:create_app`; not a part of a longer path, address or attribute.
_DOTTED: Final = re.compile(rf"(?<![\w./@-])(?:{_TOP})(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?(?![\w/-])")

#: `from ml.config import Config, Count` in an example.
_FROM: Final = re.compile(rf"from ((?:{_TOP})(?:\.\w+)*) import ([\w, ]+)")

#: A path in backticks: `ml/spec/catalog.json`, `docs/decisions/`, `app/predict/*.py`, `ml/tasks/<name>.py`.
_PATH: Final = re.compile(r"`((?:\./)?\.?[\w-][\w.-]*(?:/[\w.*<>-]+)+/?)(?::[\w.]+)?`")


@dataclass(frozen=True, slots=True)
class ReferenceRules:
    """Files to read, and names that look like references but are none."""

    files: tuple[str, ...]
    documents: tuple[str, ...]
    suffixes: frozenset[str]
    objects: Mapping[str, str]
    allowed: Allowlist

    @classmethod
    def load(cls, path: Path = CONFIG) -> ReferenceRules:
        """Read the rules from TOML."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        allowed = Allowlist.from_tables(path, tables.get("allow", ()), key="name")
        listed = (tuple(tables["files"]), tuple(tables["documents"]), frozenset(tables["suffixes"]))
        return cls(*listed, tables["objects"], allowed)


@dataclass(frozen=True, slots=True)
class References:
    """A check of the references in the repository below `root`."""

    rules: ReferenceRules
    root: Path = field(default_factory=Path)

    def check(self, paths: Sequence[Path]) -> Iterator[Violation]:
        """Report the broken references in these files and folders."""
        for path in paths:
            if path.is_file() and path.suffix not in {".py", ".md"}:
                yield from self._text(path, 1, path.read_text(encoding="utf-8"))
            else:
                for file in files([path], suffixes=frozenset({".py", ".md"})):
                    yield from self._module(file) if file.suffix == ".py" else self._document(file)

    def _module(self, path: Path) -> Iterator[Violation]:
        for passage in strings_of_module(load_module(path)):
            yield from self._text(path, passage.line, passage.text)

    def _document(self, path: Path) -> Iterator[Violation]:
        text = path.read_text(encoding="utf-8")
        yield from self._text(path, 1, text)
        yield from broken_links(path, text)

    def _text(self, path: Path, line: int, text: str) -> Iterator[Violation]:
        for offset, message in (*self._dotted_names(path, text), *self._imports(path, text), *self._paths(path, text)):
            yield Violation(path, line + text.count("\n", 0, offset), message)

    def _dotted_names(self, path: Path, text: str) -> Iterator[tuple[int, str]]:
        for match in _DOTTED.finditer(text):
            name = match.group()
            if not self._exists(name) and not self.rules.allowed.permits(name, path):
                yield match.start(), f"{name!r} names no module of the repository, nor anything in one"

    def _exists(self, name: str) -> bool:
        top, _, rest = name.partition(".")
        if ":" not in name and rest.rpartition(".")[2] in self.rules.suffixes:
            return True
        symbols = Symbols(self.root)
        return symbols.exists(name) or (
            top in self.rules.objects and symbols.exists(f"{self.rules.objects[top]}.{rest}")
        )

    def _imports(self, path: Path, text: str) -> Iterator[tuple[int, str]]:
        for match in _FROM.finditer(text):
            for name in re.split(r"[, ]+", match.group(2).strip(", ")):
                if name == "as":
                    break
                full_name = f"{match.group(1)}.{name}"
                if not Symbols(self.root).exists(full_name) and not self.rules.allowed.permits(full_name, path):
                    yield match.start(), f"{match.group(1)!r} has no {name!r}"

    def _paths(self, path: Path, text: str) -> Iterator[tuple[int, str]]:
        for match in _PATH.finditer(text):
            name = match.group(1).removeprefix("./").rstrip("/")
            top = name.partition("/")[0]
            pattern = re.sub(r"<[^>]*>", "*", name)
            is_missing = (self.root / top).is_dir() and not any(self.root.glob(pattern))
            if is_missing and not self.rules.allowed.permits(name, path):
                yield match.start(), f"no file or folder {name!r} in the repository"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_references", description="Report broken references.")
    parser.add_argument(
        "paths", nargs="*", type=Path, help="files or folders; default: every room, setting and document"
    )
    options = parser.parse_args(arguments)
    rules = ReferenceRules.load()
    beside = (Path(name) for name in (*rules.files, *rules.documents))
    paths = options.paths or [*default_paths(), *(path for path in beside if path.exists())]
    findings = list(References(rules).check(paths))
    if not options.paths:
        findings.extend(rules.allowed.list_unused())
    return report(findings)


if __name__ == "__main__":
    sys.exit(main())
