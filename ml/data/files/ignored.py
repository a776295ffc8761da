"""Recognizes README, LICENSE and similar files, which lie beside data and are not data."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_IGNORED: Final = frozenset(
    {
        *("readme", "license", "licence", "notice", "changelog", "citation", "_about"),
        *("data_description", "dataset_description", "data_dictionary", "codebook"),
    }
)
#: Suffixes of what corpora of translations bring beside each pair: where lines come from, and how sure they are.
_SIDE_SUFFIXES: Final = (".ids", ".scores", ".xml", ".info", ".align", ".meta")


#: What tools write beside the data of a dataset.
_TOOL_FILES: Final = frozenset(
    {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "croissant.json"}
)
#: Lists of hashes: `SHA256SUMS`, `md5sum.txt`, `data.sha256`.
_CHECKSUMS: Final = re.compile(r"(md5|sha\d{1,3}|check)sums?(\.\w+)?|.+\.(md5|sha\d{1,3})(sums?)?")
#: Lists of what was rejected or not checked, and templates of results.
_NOT_LEARNED: Final = re.compile(
    r"(\w+[_ -]?)?submissions?|submission[_ -]?(sample|template|format)|template"
    r"|invalidated|rejected|removed|discarded|excluded|reported|unvalidated|unvalidated_sentences"
)
#: Items that users did not take, drawn for an evaluation.
_NEGATIVE_SAMPLES: Final = (".test.negative", ".test.negatives", ".valid.negative")


def is_tool_file(name: str) -> bool:
    """Return whether a tool wrote the file beside the data: `dataset_infos.json`."""
    file = PurePosixPath(name).name.lower()
    return file in _TOOL_FILES or _CHECKSUMS.fullmatch(file) is not None


def find_descriptions(names: Collection[str]) -> set[str]:
    """Return the files that describe tables of the UCI repository.

    They are `iris.names` and `Index` beside `iris.data`.
    """
    if not any(name.lower().endswith(".data") for name in names):
        return set()
    return {name for name in names if name.lower().endswith(".names") or PurePosixPath(name).name == "Index"}


def is_not_learned(name: str) -> bool:
    """Return whether a list means "not these", by its name: `invalidated.tsv`, `sample_submission.csv`."""
    file = PurePosixPath(name).name.lower()
    return _NOT_LEARNED.fullmatch(file.partition(".")[0]) is not None or file.endswith(_NEGATIVE_SAMPLES)


def is_ignored(name: str) -> bool:
    """Return whether the first word of a file name is one of these: `README.roboflow.txt`."""
    return PurePosixPath(name).name.lower().partition(".")[0] in _IGNORED


def is_side_file(name: str) -> bool:
    """Return whether a file describes the lines of a pair of texts beside it: `en-fr.ids`."""
    bare = PurePosixPath(name.lower())
    return (PurePosixPath(bare.stem) if bare.suffix in (".gz", ".xz", ".bz2") else bare).suffix in _SIDE_SUFFIXES
