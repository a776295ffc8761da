"""Report entries of the changelog that are long, repeated or in no section.

python -m tools.check_changelog [CHANGELOG]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.checking.violations import Violation, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_CHARACTERS: Final = 160

#: Sections of a version, in this order.
SECTIONS: Final = ("Added", "Changed", "Fixed", "Removed")


def check(path: Path) -> Iterator[Violation]:
    """Report what is wrong with the sections and entries of a changelog."""
    section: str | None = None
    lines: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("## "):
            section = None
        elif line.startswith("### "):
            earlier, section = section, line.removeprefix("### ")
            yield from (Violation(path, number, fault) for fault in _section_faults(section, earlier))
        elif line.startswith("- "):
            entry = line.removeprefix("- ")
            if section is None:
                yield Violation(path, number, f"entry without a section; put it under one of {', '.join(SECTIONS)}")
            if len(entry) > MAX_CHARACTERS:
                message = f"entry has {len(entry)} characters (limit {MAX_CHARACTERS}); move details to docs/"
                yield Violation(path, number, message)
            if entry in lines:
                yield Violation(path, number, f"entry repeats line {lines[entry]}; delete it")
            lines.setdefault(entry, number)
        elif section is not None and line.strip():
            yield Violation(path, number, "an entry is one line that starts with `- `")


def _section_faults(section: str, earlier: str | None) -> Iterator[str]:
    if section not in SECTIONS:
        yield f"section {section!r} is not one of {', '.join(SECTIONS)}"
    elif earlier in SECTIONS and SECTIONS.index(section) <= SECTIONS.index(earlier):
        yield f"section {section} comes after {earlier}; the order is {', '.join(SECTIONS)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 1 if it reports a finding."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_changelog", description="Check the changelog.")
    parser.add_argument("changelog", nargs="?", type=Path, default=Path("CHANGELOG.md"), help="default: CHANGELOG.md")
    return report(check(parser.parse_args(arguments).changelog))


if __name__ == "__main__":
    sys.exit(main())
