"""A package that was downloaded from a Plinth comes back in: checked as what a stranger sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml.errors import PackageError
from ml.inference.onnx_session import OnnxGraphs, Session
from ml.inference.predictor import Predictor
from ml.learning.export.onnx import TOLERANCE
from ml.learning.export.torch_runner import load
from ml.learning.interchange.untrusted_onnx import refuse_outside_data
from ml.package.manifest import MANIFEST, read_manifest
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml.learning.interchange.model_archive import ModelArchive
    from ml.signals import Arrays


def read_package(
    bundle: ModelArchive, folder: Path, into: Path, *, task: str | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Unpack what the manifest names, and see that checksums, weights, encoders and graphs are what it says."""
    on_phase("unpacking")
    bundle.unpack([MANIFEST], folder)
    named = read_manifest(folder / MANIFEST)
    paths = {file.path for file in named.files}
    if missing := sorted(paths - bundle.names):
        raise PackageError(f"the package lacks files that its manifest names: {', '.join(missing[:5])}")
    bundle.unpack(paths - {MANIFEST}, folder)
    on_phase("reading")
    package = ModelPackage.open(folder)
    kind = package.manifest.task.name if package.manifest.task else None
    if task is not None and task != kind:
        raise PackageError(
            f"it was to be for {task}, but the package is {kind or 'a base model'}", hint="Leave it out."
        )
    on_phase("checking")
    _try(package)
    folder.rename(into)
    left = sorted(bundle.names - paths - {MANIFEST})
    return {
        "format": "plinth",
        "task": kind,
        "parameters": package.manifest.parameters,
        "labels": package.manifest.labels,
        "notes": [f"{', '.join(left[:5])}: not named by the manifest, and left out"] if left else [],
    }


def _try(package: ModelPackage) -> None:
    """An example is answered; and where there are weights and graphs, both say the same at each step."""
    manifest = package.manifest
    graphs = {name: [package.file(each) for each in graph.files] for name, graph in manifest.graphs.items()}
    for paths in graphs.values():
        for path in paths:
            refuse_outside_data(path)
    if package.has_graphs_only:
        Predictor.load(package).signature()
        return
    by_torch = load(package, device="cpu")
    by_graph = (
        OnnxGraphs({name: [Session(each) for each in paths] for name, paths in graphs.items()}) if graphs else None
    )

    def run(graph: str, batch: Arrays) -> Arrays:
        found = by_torch(graph, batch)
        if by_graph is not None:
            for name, each in by_graph(graph, batch).items():
                largest = max(1.0, float(np.abs(found[name]).max(initial=0)))
                if each.shape != found[name].shape or np.abs(each - found[name]).max(initial=0) > TOLERANCE * largest:
                    message = f"the package's graph {graph!r} answers otherwise than its weights"
                    raise PackageError(message, hint="Download or export the package again.")
        return found

    Predictor(package, engine="torch", run=run).signature()
