"""Violations that a check finds, and how a command prints them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One violation, printed as `path:line: message`."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def report(violations: Iterable[Violation]) -> int:
    """Print the violations sorted by place; return the exit status, 1 if there are any."""
    listed = sorted(set(violations))
    sys.stdout.writelines(f"{violation}\n" for violation in listed)
    if listed:
        sys.stdout.flush()
        sys.stderr.write(f"{len(listed)} violations\n")
    return 1 if listed else 0
