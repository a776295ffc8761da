"""What comes in from elsewhere, told apart by what is in it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.data.sources import Source
from ml.errors import PackageError
from ml.learning.interchange.bundle import Bundle
from ml.learning.interchange.huggingface import CONFIG, read_folder
from ml.learning.interchange.onnx_graph import read_graph
from ml.learning.interchange.plinth_package import read_package
from ml.package import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXPECTED = (
    "Send a zip of a Hugging Face folder (config.json, *.safetensors, the tokenizer), a zip of a package that was "
    "downloaded here, or one .onnx file."
)


def bring_in(
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
    if Source(source.name, source).content not in ("zip", "tar"):
        raise PackageError(f"{source.name} is neither an archive nor an .onnx file", hint=EXPECTED)
    bundle = Bundle.of(source)
    folder = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=into.parent))
    try:
        if MANIFEST in bundle.names:
            return read_package(bundle, folder, into, task=task, on_phase=on_phase)
        if CONFIG in bundle.names:
            return read_folder(bundle, folder, into, task=task, on_phase=on_phase)
        graphs = sorted(name for name in bundle.names if name.endswith(".onnx"))
        if len(graphs) == 1:
            bundle.unpack(graphs, folder)
            return read_graph(folder / graphs[0], into, task=task, labels=labels, on_phase=on_phase)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise PackageError(f"{source.name} has neither {CONFIG} nor {MANIFEST}", hint=EXPECTED)
