"""What comes in from elsewhere, told apart by what is in it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ml.data.files.upload import UploadedFile
from ml.errors import PackageError
from ml.learning.interchange.import_huggingface import CONFIG, read_folder
from ml.learning.interchange.import_onnx import read_graph
from ml.learning.interchange.import_package import read_package
from ml.learning.interchange.model_archive import ModelArchive, read_json
from ml.learning.interchange.onnx_adapters import CompanionFiles
from ml.learning.interchange.tokenizer_files import FILES
from ml.package.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXPECTED = (
    "Send a zip of a Hugging Face folder (config.json, *.safetensors, the tokenizer), a zip of a package that was "
    "downloaded here, one .onnx file that tells pictures apart, or a zip of one that tells texts apart with its "
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
    """Make a package `into` of an uploaded file; returns the report, `{"format", "notes", ...}`.

    Raises `PackageError` with what is wrong and what was expected.
    """
    if source.suffix.lower() == ".onnx":
        return read_graph(source, into, task=task, labels=labels, on_phase=on_phase)
    if UploadedFile(source.name, source).content not in ("zip", "tar"):
        raise PackageError(f"{source.name} is neither an archive nor an .onnx file", hint=EXPECTED)
    bundle = ModelArchive.of(source)
    folder = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=into.parent))
    try:
        if MANIFEST in bundle.names:
            return read_package(bundle, folder, into, task=task, on_phase=on_phase)
        graphs = sorted(name for name in bundle.names if name.endswith(".onnx"))
        has_weights = any(name.endswith(".safetensors") for name in bundle.names)
        if CONFIG in bundle.names and (has_weights or not graphs):
            return read_folder(bundle, folder, into, task=task, on_phase=on_phase)
        if len(graphs) > 1:
            message = f"{source.name} holds several graphs: {', '.join(graphs[:5])}"
            raise PackageError(message, hint=f"Leave one. {EXPECTED}")
        if graphs:
            beside = _beside(bundle, graphs[0], folder)
            path = folder / graphs[0]
            return read_graph(path, into, task=task, labels=labels, on_phase=on_phase, beside=beside)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise PackageError(f"{source.name} has neither {CONFIG} nor {MANIFEST}", hint=EXPECTED)


def _beside(bundle: ModelArchive, graph: str, folder: Path) -> CompanionFiles:
    """The graph unpacked, with a tokenizer and a `config.json` that lie beside it or at the top."""
    near = PurePosixPath(graph).parent
    homes = [home for home in (near, PurePosixPath()) if any(str(home / name) in bundle.names for name in FILES)]
    home = homes[0] if homes else near
    wanted = [str(home / name) for name in (CONFIG, *FILES) if str(home / name) in bundle.names]
    bundle.unpack([graph, *wanted], folder)
    config = folder / home / CONFIG
    return CompanionFiles(folder / home, read_json(config) if config.is_file() else {})
