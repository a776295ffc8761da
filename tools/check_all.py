"""Run all checks of names, words, errors, structure, imports and documents in one process.

    python -m tools.check_all

Files are parsed once for all of them.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from tools import (
    check_changelog,
    check_errors,
    check_glossary,
    check_imports,
    check_names,
    check_references,
    check_structure,
    check_wording,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECKS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "names": check_names.main,
    "wording": check_wording.main,
    "errors": check_errors.main,
    "structure": check_structure.main,
    "imports": check_imports.main,
    "glossary": check_glossary.main,
    "changelog": check_changelog.main,
    "references": check_references.main,
}


def main() -> int:
    """Run every check, whatever the others report; return 1 if one reports a violation."""
    failed = []
    for name, check in CHECKS.items():
        start = time.perf_counter()
        if check([]):
            failed.append(name)
        sys.stderr.write(f"{name:12}{time.perf_counter() - start:6.1f} s  {'failed' if name in failed else 'passed'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
