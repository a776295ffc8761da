"""Exceptions to a check, listed as data with a reason.

An exception that covers nothing is reported, so that the lists shrink by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tools.checking.violations import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Exemption:
    """A word or name, or a glob, allowed in the files that match `path`."""

    item: str
    path: str
    reason: str


@dataclass(slots=True)
class Allowlist:
    """The exemptions of one check and which of them were used."""

    source: Path
    exemptions: tuple[Exemption, ...]
    used: set[Exemption] = field(default_factory=set)

    @classmethod
    def from_tables(cls, source: Path, tables: Iterable[Mapping[str, str]], *, key: str) -> Allowlist:
        """Read `[[allow]]` tables with the keys `key`, `path` (a glob) and `reason`.

        Raises:
            ValueError: an exemption has no reason.
        """
        exemptions = []
        for table in tables:
            if not table.get("reason", "").strip():
                raise ValueError(f"{source}: the exemption for {table[key]!r} has no reason; add one")
            exemptions.append(Exemption(table[key], table["path"], table["reason"]))
        return cls(source, tuple(exemptions))

    def permits(self, item: str, path: Path) -> bool:
        """Return whether an exemption covers the item in this file, and note its use."""
        for exemption in self.exemptions:
            if fnmatchcase(item, exemption.item) and fnmatchcase(path.as_posix(), exemption.path):
                self.used.add(exemption)
                return True
        return False

    def list_unused(self) -> Iterator[Violation]:
        """Report exemptions that covered nothing; call it after a run over the whole repository only."""
        for exemption in self.exemptions:
            if exemption not in self.used:
                message = f"exemption for {exemption.item!r} in {exemption.path} covers nothing; delete it"
                yield Violation(self.source, 1, message)
