"""Splits that a dataset card names: `configs` at the beginning of README.md.

https://huggingface.co/docs/hub/datasets-manual-configuration.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.ignored import is_ignored
from ml.data.files.upload import find_split, parse_split
from ml.data.importing.flatten_archives import ARCHIVE_NAME
from ml.licenses import read_front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml.data.files.upload import UploadedFile

_CARD: Final = "readme.md"
#: Split of files that a configuration lists without a split, as Hugging Face's datasets has it.
_DEFAULT_SPLIT: Final = "train"


class CardSplits:
    """Splits of files by the dataset cards of an upload."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        """Read the cards among `notes`, name -> content."""
        self._patterns = [
            pattern
            for name, content in sorted(notes.items())
            if PurePosixPath(name).name.lower() == _CARD
            for pattern in _read_card(content)
        ]
        folders: dict[str, set[tuple[str, ...]]] = {}
        for pattern in self._patterns:
            if ARCHIVE_NAME.fullmatch(pattern.path):
                continue
            folders.setdefault(pattern.split, set()).add(pattern.folders)
        #: Splits whose files are in several folders.
        self._divided = {split for split, names in folders.items() if len(names) > 1}

    def split_of(self, file: str) -> str | None:
        """Return the split of a file; None if cards name none or several."""
        pattern = self._pattern_of(file)
        return pattern.split if pattern else None

    def relocate(self, path: str) -> str:
        """Return the path of a file of an archive below a folder of its split.

        It replaces the folders that cards name. A path without a split stays as it is. Where a split has several
        folders, and in archives within the archive, files keep their names apart by the folder that was above them.
        """
        pattern = self._pattern_of(path)
        if pattern is None:
            return path
        parts = tuple(path.split("/"))
        depth = len(pattern.folders)
        starts = (start for start in range(len(parts) - depth) if parts[start : start + depth] == pattern.folders)
        start = next(starts, 0)
        *inner, name = parts[start + depth :]
        above = "-".join(pattern.folders) if pattern.split in self._divided else ""
        if pattern.is_archive and inner:
            above, *inner = inner
        return "/".join((*parts[:start], pattern.split, *inner, *([above] if above else []), name))

    def names_members(self, source: UploadedFile) -> bool:
        """Return whether cards name splits of some files of an archive."""
        return any(self._pattern_of(name) for name in source.member_names if not is_ignored(name))

    def _pattern_of(self, file: str) -> _Pattern | None:
        patterns = [pattern for pattern in self._patterns if pattern.matches(file)]
        return patterns[0] if len({pattern.split for pattern in patterns}) == 1 else None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Paths of the files of one split."""

    path: str
    split: str
    #: Folders at its beginning that have no wildcard.
    folders: tuple[str, ...]
    #: Whether it is of archives, whose files are in folders of their names once they are unpacked.
    is_archive: bool = False

    @classmethod
    def parse(cls, path: str, split: str) -> tuple[_Pattern, ...]:
        """Return the patterns of a path of a card.

        An archive stands for itself and for what is in it.
        """
        path = path.removeprefix("./")
        path = f"{path}**" if path.endswith("/") else path
        folders = tuple(itertools.takewhile(_is_plain, path.split("/")[:-1]))
        itself = cls(path, split, folders)
        match = ARCHIVE_NAME.fullmatch(path)
        if match is None:
            return (itself,)
        name = match[1].rpartition("/")[2]
        if len(folders) == match[1].count("/") and _is_plain(name):
            return (itself, cls(f"{match[1]}/*", split, (*folders, name)))
        return (itself, cls(f"{match[1]}/*", split, folders, is_archive=True))

    def matches(self, file: str) -> bool:
        """Return whether a path or its end fits; `*` spans folders."""
        return fnmatchcase(file, self.path) or fnmatchcase(file, f"*/{self.path}")


def _is_plain(name: str) -> bool:
    return not set(name) & set("*?[")


def _read_card(content: bytes) -> Iterator[_Pattern]:
    configs = read_front_matter(content.decode("utf-8", "replace")).get("configs")
    for config in configs if isinstance(configs, list) else []:
        data_files = config.get("data_files") if isinstance(config, dict) else None
        folder = config.get("data_dir") if isinstance(config, dict) else None
        if isinstance(data_files, dict):
            data_files = [{"split": split, "path": path} for split, path in data_files.items()]
        for item in data_files if isinstance(data_files, list) else [data_files]:
            fields = item if isinstance(item, dict) else {"split": _DEFAULT_SPLIT, "path": item}
            name = str(fields.get("split"))
            split = parse_split(name) or find_split(name)
            if split is None:
                continue
            for path in _to_paths(fields.get("path")):
                yield from _Pattern.parse(f"{folder.strip('/')}/{path}" if isinstance(folder, str) else path, split)


def _to_paths(path: Any) -> list[str]:
    paths = path if isinstance(path, list) else [path]
    return [path.removeprefix("./") for path in paths if isinstance(path, str) and path]
