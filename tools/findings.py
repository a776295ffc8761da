"""Findings of a check and how a command reports them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One violation, printed as `path:line: message`."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def report(findings: Iterable[Finding]) -> int:
    """Print the findings sorted by place; return the exit status, 1 if there are any."""
    listed = sorted(set(findings))
    sys.stdout.writelines(f"{finding}\n" for finding in listed)
    if listed:
        sys.stdout.flush()
        sys.stderr.write(f"{len(listed)} findings\n")
    return 1 if listed else 0
