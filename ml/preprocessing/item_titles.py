"""Titles of items, by which people read recommendations, in one file of a model.

Standard library alone: exported folders contain this code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

#: Name of the file below `task/` of a package.
TITLES: Final = "titles.json"
MAX_TITLE_CHARACTERS: Final = 120
#: Names of columns with titles, the likeliest first; spaces, hyphens and underscores do not count.
TITLE_COLUMNS: Final = (
    *("title", "name", "itemtitle", "itemname", "producttitle", "productname", "movietitle", "booktitle", "songtitle"),
    *("trackname", "articletitle", "displayname", "headline", "product", "label", "titel", "bezeichnung", "nombre"),
    *("titre", "nom", "heading", "subject", "description"),
)


@dataclass(frozen=True)
class ItemTitles:
    """Titles by item, and the column that they come from."""

    column: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Sequence[str], cells: Mapping[str, Sequence[str]], texts: Iterable[str] = ()) -> ItemTitles:
        """Take the titles of a table of items.

        `texts` are its columns of texts; the first one has the titles if no name says so.
        """
        column = choose_column(cells, texts)
        if column is None:
            return cls()
        titles = zip(ids, map(_shorten, cells[column]), strict=True)
        return cls(column, {item: title for item, title in titles if title})

    def title_of(self, item: str, fields: Mapping[str, str] | None = None) -> str | None:
        """Return the title of an item; `fields` are the columns of a new one."""
        if fields:
            column = self.column if self.column in fields else choose_column(fields, fields)
            return _shorten(fields[column]) or None if column else None
        return self.titles.get(item)

    def save(self, path: Path) -> None:
        """Write the file."""
        content = {"column": self.column, "titles": dict(self.titles)}
        path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ItemTitles:
        """Read what `save` wrote; raises `OSError`, or `ValueError` for a damaged file."""
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path.name} is damaged: it is not JSON") from error
        titles = content.get("titles") if isinstance(content, dict) else None
        if not isinstance(titles, dict) or not all(isinstance(title, str) for title in titles.values()):
            raise ValueError(f"{path.name} is damaged: it does not hold titles by item")
        return cls(content.get("column"), titles)


def choose_column(names: Iterable[str], texts: Iterable[str] = ()) -> str | None:
    """Return the column with titles, else the first one of `texts`, or None."""
    by_plain_name = {_plain(name): name for name in reversed(list(names))}
    for name in TITLE_COLUMNS:
        if name in by_plain_name:
            return by_plain_name[name]
    return next(iter(texts), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _shorten(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= MAX_TITLE_CHARACTERS else f"{text[: MAX_TITLE_CHARACTERS - 3].rstrip()}..."
