"""Import of an uploaded model file, whose format is detected from its content."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ml.data.files.upload import UploadedFile
from ml.errors import PackageError
from ml.learning.interchange.import_huggingface import CONFIG, read_folder
from ml.learning.interchange.import_onnx import read_graph
from ml.learning.interchange.import_package import read_package
from ml.learning.interchange.model_archive import ModelArchive, read_json
from ml.learning.interchange.onnx_graphs.adapters import CompanionFiles
from ml.learning.interchange.onnx_graphs.untrusted import list_data_files
from ml.learning.interchange.tokenizer_files import FILES
from ml.licenses import find_license, is_license_file
from ml.package.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: README and license files of an archive that are read.
MAX_LICENSE_FILES: Final = 20
EXPECTED: Final = (
    "Send a zip of a Hugging Face folder (config.json, *.safetensors, tokenizer), a zip of a package that was "
    "downloaded from Plinth, one .onnx file that classifies images, or a zip of one that classifies texts, with its "
    "tokenizer.json."
)


def import_model(
    source: Path,
    into: Path,
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write a package to `into` from an uploaded file; returns the report, `{"format", "notes", ...}`.

    `labels` are the class names of an ONNX file. Raises `PackageError` with the fault and what was expected.
    """
    if source.suffix.lower() == ".onnx":
        return read_graph(source, into, task=task, labels=labels, on_phase=on_phase)
    if UploadedFile(source.name, source).content not in ("zip", "tar"):
        raise PackageError(f"{source.name} is neither an archive nor an .onnx file", hint=EXPECTED)
    archive = ModelArchive.open(source)
    folder = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=into.parent))
    try:
        license = _read_license(archive, folder / "license")
        return {**_import_archive(archive, source, folder, into, task, labels, on_phase), "license": license}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_archive(
    archive: ModelArchive,
    source: Path,
    folder: Path,
    into: Path,
    task: str | None,
    labels: Sequence[str] | None,
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    """Write a package to `into` from an archive that is extracted to `folder`."""
    if MANIFEST in archive.names:
        return read_package(archive, folder, into, task=task, on_phase=on_phase)
    graphs = sorted(name for name in archive.names if name.endswith(".onnx"))
    has_weights = any(name.endswith(".safetensors") for name in archive.names)
    if CONFIG in archive.names and (has_weights or not graphs):
        return read_folder(archive, folder, into, task=task, on_phase=on_phase)
    if len(graphs) > 1:
        message = f"{source.name} contains several graphs: {', '.join(graphs[:5])}"
        raise PackageError(message, hint=f"Keep one of them. {EXPECTED}")
    if graphs:
        companions = _extract_graph(archive, graphs[0], folder)
        path = folder / graphs[0]
        return read_graph(path, into, task=task, labels=labels, on_phase=on_phase, companions=companions)
    raise PackageError(f"{source.name} has neither {CONFIG} nor {MANIFEST}", hint=EXPECTED)


def _read_license(archive: ModelArchive, folder: Path) -> str | None:
    """Return the license that a README or LICENSE file in the archive states, or None."""
    names = sorted(name for name in archive.names if is_license_file(name))[:MAX_LICENSE_FILES]
    if not names:
        return None
    archive.extract(names, folder)
    return find_license({name: (folder / name).read_bytes() for name in names})


def _extract_graph(archive: ModelArchive, graph: str, folder: Path) -> CompanionFiles:
    """Extract the graph with its tensors, its tokenizer and `config.json`.

    Files of tensors are beside the graph. The others are in the folder of the graph, or else in the top folder.
    """
    parent = PurePosixPath(graph).parent
    candidates = (parent, PurePosixPath())
    home = next((path for path in candidates if any(str(path / name) in archive.names for name in FILES)), parent)
    paths = [str(home / name) for name in (CONFIG, *FILES)]
    archive.extract([graph, *(path for path in paths if path in archive.names)], folder)
    tensors = (str(parent / name) for name in list_data_files(folder / graph))
    archive.extract([path for path in tensors if path in archive.names], folder, are_weights=True)
    config = folder / home / CONFIG
    return CompanionFiles(folder / home, read_json(config) if config.is_file() else {})
