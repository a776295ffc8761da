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
#: Tables of archives are reported by themselves.
_TABLE_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".arrow", ".txt")
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
        #: Names of its configurations.
        self.configurations = list(
            dict.fromkeys(
                config
                for name, content in sorted(notes.items())
                if PurePosixPath(name).name.lower() == _CARD
                for config in _configurations(content)
            )
        )
        has_splits = any(pattern.split for pattern in self._patterns)
        #: Patterns of splits that are neither train, validation nor test, beside others that are.
        self._left_out = [pattern for pattern in self._patterns if has_splits and not pattern.split]
        self._patterns = [pattern for pattern in self._patterns if pattern.split]
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

    def is_left_out(self, file: str) -> bool:
        """Return whether a file is in a split that is neither train, validation nor test."""
        return self.split_of(file) is None and any(pattern.matches(file) for pattern in self._left_out)

    def left_out_folders(self, source: UploadedFile) -> list[str]:
        """Return the folders of an archive with files that are left out, except for tables."""
        names = (PurePosixPath(name) for name in source.member_names if self.is_left_out(name))
        return sorted({str(name.parent) for name in names if name.suffix.lower() not in _TABLE_SUFFIXES})

    def relocate(self, path: str) -> str | None:
        """Return the path of a file of an archive below a folder of its split.

        It is None if the file is left out. The folder replaces the folders that cards name. A path without a split
        stays as it is. Where a split has several folders, and in archives within the archive, files keep their names
        apart by the folder that was above them.
        """
        pattern = self._pattern_of(path)
        if pattern is None:
            return None if self.is_left_out(path) else path
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
    #: Empty for a split that is neither train, validation nor test.
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
            split = parse_split(name) or find_split(name) or ""
            for path in _to_paths(fields.get("path")):
                yield from _Pattern.parse(f"{folder.strip('/')}/{path}" if isinstance(folder, str) else path, split)


def _configurations(content: bytes) -> list[str]:
    configs = read_front_matter(content.decode("utf-8", "replace")).get("configs")
    named = [config for config in (configs if isinstance(configs, list) else []) if isinstance(config, dict)]
    return [str(config.get("config_name")) for config in named if config.get("data_files")]


def _to_paths(path: Any) -> list[str]:
    paths = path if isinstance(path, list) else [path]
    return [path.removeprefix("./") for path in paths if isinstance(path, str) and path]
