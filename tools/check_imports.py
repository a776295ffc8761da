"""Report import cycles; imports for type checkers and those inside functions count.

python -m tools.check_imports [--figures] [PACKAGES]
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import grimp

from tools.checking.sources import default_paths
from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from grimp import ImportGraph

    Graph = Mapping[str, Collection[str]]


def check(packages: Sequence[str], root: Path) -> Iterator[Violation]:
    """Report each cycle at the import that opens it."""
    imports = build(packages)
    for cycle in cycles(edges(imports)):
        importer, imported = cycle[0], cycle[1 % len(cycle)]
        (details, *_) = imports.get_import_details(importer=importer, imported=imported)
        chain = " -> ".join([*cycle, cycle[0]])
        yield Violation(path_of(importer, root), details["line_number"], f"import cycle: {chain}")


def build(packages: Sequence[str], *, type_only: bool = True) -> ImportGraph:
    """Read the imports of the packages, which must be importable, without their external ones."""
    return grimp.build_graph(*packages, exclude_type_checking_imports=not type_only, cache_dir=None)


def edges(graph: ImportGraph) -> Graph:
    """Give the modules that each module imports directly."""
    return {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """List the distinct shortest cycles, one for every import on a cycle, shortest first.

    A cycle starts with its first module in alphabetical order and does not repeat it at the end.
    """
    shortest = set()
    for importer, several in graph.items():
        for imported in several:
            if path := _shortest_path(graph, imported, importer):
                first = path.index(min(path))
                shortest.add((*path[first:], *path[:first]))
    return sorted(shortest, key=lambda cycle: (len(cycle), cycle))


def _shortest_path(graph: Graph, start: str, end: str) -> tuple[str, ...] | None:
    """Find the shortest chain of imports by breadth-first search; None if there is none."""
    parents: dict[str, str | None] = {start: None}
    queue = deque([start])
    while queue:
        module = queue.popleft()
        if module == end:
            chain = [module]
            while (parent := parents[chain[-1]]) is not None:
                chain.append(parent)
            return tuple(reversed(chain))
        for imported in graph.get(module, ()):
            if imported not in parents:
                parents[imported] = module
                queue.append(imported)
    return None


def path_of(module: str, root: Path) -> Path:
    """Return the file of a module below the root."""
    stem = root.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def figures(packages: Sequence[str]) -> Iterator[str]:
    """Give the number of cycles at load time, and with imports for type checkers."""
    for title, type_only in (("at load time", False), ("with type-only imports", True)):
        graph = build(packages, type_only=type_only)
        count = len(cycles(edges(graph)))
        yield f"{count:4} cycles {title} ({len(graph.modules)} modules, {graph.count_imports()} imports)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_imports", description="Report import cycles.")
    parser.add_argument("packages", nargs="*", help="top-level packages; default: every room")
    parser.add_argument("--figures", action="store_true", help="print the number of cycles instead")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    packages = options.packages or [path.name for path in default_paths()]
    if options.figures:
        sys.stdout.writelines(f"{line}\n" for line in figures(packages))
        return 0
    return report(check(packages, Path()))


if __name__ == "__main__":
    sys.exit(main())
