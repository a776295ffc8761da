"""Splits that a dataset card names: `configs` at the beginning of README.md.

https://huggingface.co/docs/hub/datasets-manual-configuration.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.upload import parse_split
from ml.licenses import read_front_matter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CARD: Final = "readme.md"
#: Split of files that a configuration lists without a split, as Hugging Face's datasets has it.
_DEFAULT_SPLIT: Final = "train"


class CardSplits:
    """Splits of files by the dataset cards of an upload."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        """Read the cards among `notes`, name -> content."""
        self._patterns = [
            (pattern, split)
            for name, content in sorted(notes.items())
            if PurePosixPath(name).name.lower() == _CARD
            for pattern, split in _read_card(content)
        ]

    def split_of(self, file: str) -> str | None:
        """Return the split of a file; None if cards name none or several."""
        splits = {split for pattern, split in self._patterns if _matches(file, pattern)}
        return splits.pop() if len(splits) == 1 else None


def _read_card(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (pattern of paths, split)."""
    configs = read_front_matter(content.decode("utf-8", "replace")).get("configs")
    for config in configs if isinstance(configs, list) else []:
        data_files = config.get("data_files") if isinstance(config, dict) else None
        if isinstance(data_files, dict):
            data_files = [{"split": split, "path": path} for split, path in data_files.items()]
        for item in data_files if isinstance(data_files, list) else [data_files]:
            fields = item if isinstance(item, dict) else {"split": _DEFAULT_SPLIT, "path": item}
            split = parse_split(str(fields.get("split")))
            yield from ((pattern, split) for pattern in _to_patterns(fields.get("path")) if split)


def _to_patterns(path: Any) -> list[str]:
    paths = path if isinstance(path, list) else [path]
    return [path.removeprefix("./") for path in paths if isinstance(path, str) and path]


def _matches(file: str, pattern: str) -> bool:
    """Return whether a path or its end fits a pattern; `*` spans folders."""
    return fnmatchcase(file, pattern) or fnmatchcase(file, f"*/{pattern}")
