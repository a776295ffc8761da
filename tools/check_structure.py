"""Report folders with too many files, misplaced tests, long functions and a long README.

python -m tools.check_structure [--figures] [PATHS]
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.checking.sources import Module, default_paths, files, python_modules
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CONFIG: Final = Path(__file__).with_name("structure.toml")

#: Top-level folders of the wheel that people write, reported together.
PRODUCT: Final = frozenset({"app", "ml", "plinth", "store", "worker"})

#: Top-level folder of pages, whose files are counted.
DOCUMENTS: Final = "docs"

#: Top-level folder of the tests.
TESTS: Final = "tests"

#: Top-level folders whose functions a tool writes; their length is printed, not limited.
_GENERATED: Final = frozenset({"migrations"})


@dataclass(frozen=True, slots=True)
class StructureLimits:
    """Numbers that a change may not exceed."""

    max_files: int
    max_function_lines_p99: int
    max_readme_lines: int
    #: Room -> its own limit on files.
    rooms: Mapping[str, int]
    #: Folders of tests, and tests, that mirror no room or module, each with a reason in the configuration.
    unmirrored: frozenset[str]

    @classmethod
    def load(cls, path: Path = CONFIG) -> StructureLimits:
        """Read the limits from TOML.

        Raises:
            ValueError: a limit of its own, or a test that mirrors nothing, has no reason.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        allowed, tests = tables.get("allow", ()), tables.get("test", ())
        for table in allowed:
            if not table.get("reason", "").strip():
                raise ValueError(f"{path}: the limit of {table['room']} has no reason; add one")
        for table in tests:
            if not table.get("reason", "").strip():
                raise ValueError(f"{path}: the test {table['path']} has no reason; add one")
        return cls(
            max_files=tables["max_files"],
            max_function_lines_p99=tables["max_function_lines_p99"],
            max_readme_lines=tables["max_readme_lines"],
            rooms={table["room"]: table["max_files"] for table in allowed},
            unmirrored=frozenset(table["path"] for table in tests),
        )


@dataclass(frozen=True, slots=True, order=True)
class Function:
    """A function or method and its length in lines, from `def` to its last line."""

    lines: int
    path: Path
    line: int
    name: str


def check(
    modules: Sequence[Module], limits: StructureLimits, *, paths: Sequence[Path] = (), readme: Path | None = None
) -> Iterator[Violation]:
    """Report every limit that is exceeded; `paths` are files of every suffix."""
    for room, count in files_per_room(modules, paths).items():
        allowed = limits.rooms.get(room.as_posix(), limits.max_files)
        if count > allowed:
            yield Violation(room, 1, f"{count} files beside each other (limit {allowed}); group them into folders")
    for top, ordered in functions_per_top(modules).items():
        p99 = percentile(ordered, 99).lines
        if top not in _GENERATED and p99 > limits.max_function_lines_p99:
            message = f"p99 of function length in {top} is {p99} lines (limit {limits.max_function_lines_p99})"
            for function in ordered:
                if function.lines >= p99:
                    detail = f"{message}; split {function.name}, {function.lines} lines"
                    yield Violation(function.path, function.line, detail)
    if readme is not None and (count := len(readme.read_text(encoding="utf-8").splitlines())) > limits.max_readme_lines:
        yield Violation(
            readme, 1, f"{count} lines (limit {limits.max_readme_lines}); move figures and reference to docs/"
        )


def unused_limits(
    modules: Sequence[Module], limits: StructureLimits, *, paths: Sequence[Path] = ()
) -> Iterator[Violation]:
    """Report rooms that need no limit of their own, after a run over all rooms."""
    for room, count in files_per_room(modules, paths).items():
        is_generated = room.parts[:1] and room.parts[0] in _GENERATED
        if room.as_posix() in limits.rooms and count <= limits.max_files and not is_generated:
            yield Violation(room, 1, f"{count} files need no limit of their own in {CONFIG.name}; delete it")


def misplaced_tests(modules: Sequence[Module], limits: StructureLimits) -> Iterator[Violation]:
    """Report tests that lie elsewhere than their subject, after a run over all rooms.

    A folder of tests needs the folder that it mirrors. If that has no module or folder of the test's name, but one
    below it has, the test belongs there; any other name is a topic of the whole folder. Tests at the root are of the
    whole service.
    """
    below: dict[Path, dict[str, Path]] = {}
    for module in modules:
        if module.path.parts[0] != TESTS:
            for path in (module.path.with_suffix(""), *module.path.parents[:-1]):
                for room in path.parents[:-1]:
                    below.setdefault(room, {}).setdefault(path.name, path)
    for module in modules:
        path, room = module.path, Path(*module.path.parts[1:-1])
        if path.parts[0] != TESTS or not path.name.startswith("test_") or room == Path():
            continue
        if {path.as_posix(), path.parent.as_posix()} & limits.unmirrored:
            continue
        name = path.stem.removeprefix("test_")
        subject = below.get(room, {}).get(name)
        if not room.is_dir():
            detail = f"{path.parent} mirrors no folder; move the test, or list it in {CONFIG.name} with a reason"
            yield Violation(path, 1, detail)
        elif subject is not None and not ((room / name).is_dir() or (room / f"{name}.py").is_file()):
            detail = f"{subject} lies below {room}; move the test to {TESTS / subject.parent}, or name its topic"
            yield Violation(path, 1, detail)


def files_per_room(modules: Iterable[Module], paths: Iterable[Path] = ()) -> Counter[Path]:
    """Count the files beside each other in each folder, without `__init__.py` and `__main__.py`.

    In a folder with Python code its Python files count, in all others the files of every suffix among `paths`.
    """
    counts: Counter[Path] = Counter()
    rooms = set()
    for module in modules:
        rooms.add(module.path.parent)
        counts[module.path.parent] += module.path.stem not in {"__init__", "__main__"}
    counts.update(path.parent for path in paths if path.parent not in rooms)
    return +counts


def functions_per_top(modules: Iterable[Module]) -> dict[str, list[Function]]:
    """List the functions of each top-level folder, shortest first."""
    listed: dict[str, list[Function]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                function = Function(lines, module.path, node.lineno, node.name)
                listed.setdefault(module.path.parts[0], []).append(function)
    return {top: sorted(functions) for top, functions in sorted(listed.items())}


def percentile(ordered: Sequence[Function], percent: int) -> Function:
    """Return the function at the percentile (nearest rank) of a list sorted by length."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def figures(modules: Sequence[Module], paths: Sequence[Path] = ()) -> Iterator[str]:
    """Describe the largest rooms, and the length of functions by top-level folder."""
    for room, count in files_per_room(modules, paths).most_common(10):
        yield f"{count:4} files in {room}"
    yield f"{'function length':18}{'count':>7}{'median':>8}{'p90':>6}{'p99':>6}{'max':>6}"
    by_top = functions_per_top(modules)
    product = sorted(function for top, ordered in by_top.items() if top in PRODUCT for function in ordered)
    for name, ordered in [("product", product), *by_top.items()]:
        if ordered:
            median, p90, p99, longest = (percentile(ordered, percent).lines for percent in (50, 90, 99, 100))
            yield f"{name:18}{len(ordered):7}{median:8}{p90:6}{p99:6}{longest:6}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_structure", description="Report exceeded limits.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: every room, and README.md")
    parser.add_argument("--figures", action="store_true", help="print the figures instead")
    options = parser.parse_args(arguments)
    modules = list(python_modules(options.paths or default_paths()))
    documents = [Path(DOCUMENTS)] if Path(DOCUMENTS).is_dir() else []
    paths = list(files(options.paths or [*default_paths(), *documents], suffixes=None))
    if options.figures:
        sys.stdout.writelines(f"{line}\n" for line in figures(modules, paths))
        return 0
    limits = StructureLimits.load()
    findings = list(check(modules, limits, paths=paths, readme=None if options.paths else Path("README.md")))
    if not options.paths:
        findings.extend(unused_limits(modules, limits, paths=paths))
        findings.extend(misplaced_tests(modules, limits))
    return report(findings)


if __name__ == "__main__":
    sys.exit(main())
