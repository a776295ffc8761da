"""The archive that a model comes in: judged by the names in it, before anything of it reaches the disk.

Weights are read from safetensors and ONNX alone. A pickle runs code when it is read, so an archive that holds one is
refused, and so is one that wants code of its own to be run.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Self

from ml.data.files.archives import extract_members, list_members
from ml.data.files.upload import UploadedFile
from ml.data.issue_catalog import ISSUE_TYPES
from ml.data.issues import DataRejected, IssueLog, to_printable
from ml.data.limits import Limits
from ml.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PICKLES: Final = frozenset(
    {
        *(".bin", ".ckpt", ".ot", ".pt", ".pth", ".t7"),
        *(".dill", ".joblib", ".npz", ".pickle", ".pkl"),
        *(".h5", ".hdf5", ".keras", ".mar", ".nemo"),
    }
)
"""Endings of files that are pickles, or may hold some, or hold weights in a form that is not read here."""
NESTED: Final = frozenset([".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"])
LIMITS: Final = Limits(max_members=20_000, max_depth=8)
LARGEST_TEXT_BYTES: Final = 64 << 20
"""Of a configuration or a vocabulary; the largest published tokenizers have half of that."""
NAMED_AT_MOST: Final = 10


class ModelArchive:
    """Its files by their paths below the folder that holds `config.json` or `manifest.json`."""

    def __init__(self, source: UploadedFile, files: dict[str, tuple[str, int]]) -> None:
        self._source = source
        self._files = files
        """Path -> what the archive calls it, and how large it is."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the names; raises `PackageError` with everything that is wrong with them."""
        source, findings = UploadedFile(path.name, path), IssueLog(max_samples=NAMED_AT_MOST)
        try:
            found = list_members(source, findings, LIMITS)
        except DataRejected as refused:
            findings.record(refused)
            found = []
        names = {"/".join(member.parts): member for member in found}
        for name, member in names.items():
            if PurePosixPath(name).suffix.lower() in NESTED:
                findings.add("archive_nested", actual=member.file)
        _refuse_what_was_found(findings)
        _refuse_pickles(names)
        root = _root(names)
        return cls(
            source,
            {name[len(root) :]: (member.file, member.size) for name, member in names.items() if name.startswith(root)},
        )

    @property
    def names(self) -> frozenset[str]:
        """Paths, relative to the folder of the model."""
        return frozenset(self._files)

    def unpack(self, wanted: Iterable[str], into: Path) -> None:
        """Write these files below `into`; raises `PackageError` where one is damaged, or is too large for a text."""
        paths = {}
        for name in wanted:
            file, size = self._files[name]
            if size > LARGEST_TEXT_BYTES and PurePosixPath(name).suffix not in (".safetensors", ".onnx"):
                raise PackageError(f"{name} has {size:,} bytes; at most {LARGEST_TEXT_BYTES:,} are read of such a file")
            paths[file] = into / name
            paths[file].parent.mkdir(parents=True, exist_ok=True)
        try:
            extract_members(self._source, paths, LIMITS)
        except DataRejected as refused:
            raise PackageError(_told(refused.code, [_place(refused)]), hint=ISSUE_TYPES[refused.code].hint) from refused


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises `PackageError`."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise PackageError(f"{path.name} is no JSON object")
    return content


def _refuse_what_was_found(findings: IssueLog) -> None:
    errors = [entry for entry in findings.entries if entry.severity == "error"]
    if errors:
        told = [_told(entry.code, [each.get("file") or each.get("found") for each in entry.sample]) for entry in errors]
        raise PackageError("; ".join(told), hint=" ".join(entry.hint for entry in errors))


def _refuse_pickles(names: Iterable[str]) -> None:
    found = sorted(name for name in names if PurePosixPath(name).suffix.lower() in PICKLES)
    if found:
        more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
        listed = ", ".join(to_printable(name) for name in found[:NAMED_AT_MOST])
        raise PackageError(
            f"the archive holds files that are pickles or may be, which run code when they are read: {listed}{more}",
            hint="Leave them out and pack again; weights are read from *.safetensors or *.onnx. "
            "`save_pretrained` writes safetensors.",
        )


def _root(names: Iterable[str]) -> str:
    """The topmost folder with a `manifest.json` or `config.json`, as a prefix; none, where there is none."""
    folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in ("manifest.json", "config.json")}
    if not folders:
        return ""
    depths = {folder: len(PurePosixPath(folder).parts) for folder in folders}
    top = [folder for folder in sorted(folders) if depths[folder] == min(depths.values())]
    if len(top) > 1:
        raise PackageError(f"the archive holds several models: {', '.join(top)}", hint="Pack one at a time.")
    return f"{top[0]}/" if top[0] else ""


def _told(code: str, places: Iterable[str | None]) -> str:
    named = ", ".join(place for place in places if place)
    return f"{code}: {named}" if named else code


def _place(refused: DataRejected) -> str | None:
    at = refused.at.file if refused.at else None
    told = [to_printable(each) for each in (at, refused.actual, refused.expected) if each is not None]
    return ", ".join(told) or None
