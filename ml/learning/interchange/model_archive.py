"""Archive of an uploaded model, whose member names are checked before anything is extracted.

Weights are read from safetensors and ONNX files only. A pickle runs code when it is loaded, so an archive that contains
one is refused.
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

#: Suffixes of files that are pickles, may contain some, or contain weights in a format that is not supported.
PICKLE_SUFFIXES: Final = frozenset(
    {
        *(".bin", ".ckpt", ".ot", ".pt", ".pth", ".t7"),
        *(".dill", ".joblib", ".npz", ".pickle", ".pkl"),
        *(".h5", ".hdf5", ".keras", ".mar", ".nemo"),
    }
)
NESTED_SUFFIXES: Final = frozenset([".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"])
#: Files of an adapter that the PEFT library and others save without the base model.
ADAPTER_FILES: Final = frozenset(
    {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors"}
)
LIMITS: Final = Limits(max_members=20_000, max_depth=8)
#: Limit of a configuration or a vocabulary; the largest published tokenizers have half of it.
MAX_TEXT_BYTES: Final = 64 << 20
MAX_LISTED_FILES: Final = 10


class ModelArchive:
    """Files of an archive, by their paths below the folder with `config.json` or `manifest.json`."""

    def __init__(self, source: UploadedFile, files: dict[str, tuple[str, int]]) -> None:
        self._source = source
        #: Path -> name in the archive, and size in bytes.
        self._files = files

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read and check the member names; raises `PackageError` with all faults."""
        source, issues = UploadedFile(path.name, path), IssueLog(max_samples=MAX_LISTED_FILES)
        try:
            members = list_members(source, issues, LIMITS)
        except DataRejected as error:
            issues.record(error)
            members = []
        by_path = {"/".join(member.parts): member for member in members}
        for name, member in by_path.items():
            if PurePosixPath(name).suffix.lower() in NESTED_SUFFIXES:
                issues.add("archive_nested", actual=member.file)
        _refuse_issues(issues)
        root = _find_root(by_path)
        _refuse_adapter(by_path, root)
        _refuse_pickles(by_path)
        files = {
            name.removeprefix(root): (member.file, member.size)
            for name, member in by_path.items()
            if name.startswith(root)
        }
        return cls(source, files)

    @property
    def names(self) -> frozenset[str]:
        """Paths, relative to the folder of the model."""
        return frozenset(self._files)

    def extract(self, names: Iterable[str], into: Path, *, are_weights: bool = False) -> None:
        """Write files below `into`; those of weights may be large, whatever they are called.

        Raises `PackageError` if one is damaged, or a text is too large.
        """
        paths = {}
        for name in names:
            member, size = self._files[name]
            has_weights = are_weights or PurePosixPath(name).suffix in (".safetensors", ".onnx")
            if size > MAX_TEXT_BYTES and not has_weights:
                raise PackageError(
                    f"{name} has {size:,} bytes (limit {MAX_TEXT_BYTES:,})",
                    hint="Send weights as *.safetensors or *.onnx.",
                )
            paths[member] = into / name
            paths[member].parent.mkdir(parents=True, exist_ok=True)
        try:
            extract_members(self._source, paths, LIMITS)
        except DataRejected as error:
            raise PackageError(
                _describe_issue(error.code, [_describe_place(error)]), hint=ISSUE_TYPES[error.code].hint
            ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; raises `PackageError`."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{path.name} cannot be read as JSON: {error}", hint="Save the model again.") from error
    if not isinstance(content, dict):
        raise PackageError(f"{path.name} is not a JSON object", hint="Save the model again.")
    return content


def _refuse_issues(issues: IssueLog) -> None:
    errors = [entry for entry in issues.entries if entry.severity == "error"]
    if errors:
        messages = [
            _describe_issue(entry.code, [sample.get("file") or sample.get("found") for sample in entry.sample])
            for entry in errors
        ]
        raise PackageError("; ".join(messages), hint=" ".join(entry.hint for entry in errors))


def _refuse_pickles(names: Iterable[str]) -> None:
    pickles = sorted(name for name in names if PurePosixPath(name).suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        more = f" and {len(pickles) - MAX_LISTED_FILES} more" if len(pickles) > MAX_LISTED_FILES else ""
        listed = ", ".join(to_printable(name) for name in pickles[:MAX_LISTED_FILES])
        raise PackageError(
            f"the archive contains files that are or may be pickles, which run code when loaded: {listed}{more}",
            hint="Remove them and pack again; weights are read from *.safetensors or *.onnx. "
            "`save_pretrained` writes safetensors.",
        )


def _refuse_adapter(names: Iterable[str], root: str) -> None:
    """Raise `PackageError` for an adapter, alone or in the folder `root` of a model."""
    adapters = {name.rpartition("/")[0]: name for name in sorted(names) if PurePosixPath(name).name in ADAPTER_FILES}
    has_model = any(PurePosixPath(name).name in ("config.json", "manifest.json") for name in names)
    if adapters and (root.rstrip("/") in adapters or not has_model):
        name = adapters.get(root.rstrip("/")) or next(iter(adapters.values()))
        raise PackageError(
            f"{to_printable(name)} belongs to a PEFT adapter, whose base model has to be merged with it",
            hint="Merge it: `PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(merged)`, save "
            "the tokenizer there too, and send the folder `merged`.",
        )


def _find_root(names: Iterable[str]) -> str:
    """Return the topmost folder with a `manifest.json` or `config.json`, as a prefix.

    It is "" if there is none. Raises `PackageError` if there are several.
    """
    folders = {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in ("manifest.json", "config.json")}
    if not folders:
        return ""
    depths = {folder: len(PurePosixPath(folder).parts) for folder in folders}
    topmost = [folder for folder in sorted(folders) if depths[folder] == min(depths.values())]
    if len(topmost) > 1:
        raise PackageError(f"the archive contains several models: {', '.join(topmost)}", hint="Send one at a time.")
    return f"{topmost[0]}/" if topmost[0] else ""


def _describe_issue(code: str, places: Iterable[str | None]) -> str:
    listed = ", ".join(place for place in places if place)
    return f"{code}: {listed}" if listed else code


def _describe_place(error: DataRejected) -> str | None:
    file = error.at.file if error.at else None
    parts = [to_printable(part) for part in (file, error.actual, error.expected) if part is not None]
    return ", ".join(parts) or None
