"""Import of a package that was downloaded from a Plinth service; its content is untrusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.errors import PackageError
from ml.inference.onnx_session import OnnxGraphs, Session
from ml.inference.predictor import Predictor
from ml.learning.export.differences import largest_difference, largest_value
from ml.learning.export.onnx import TOLERANCE
from ml.learning.export.torch_runner import load
from ml.learning.interchange.onnx_graphs.untrusted import refuse_external_data
from ml.package.manifest import MANIFEST, read_manifest
from ml.package.package import ModelPackage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml.learning.interchange.model_archive import ModelArchive
    from ml.signals import Arrays, Run

MAX_LISTED_FILES = 5


def read_package(
    archive: ModelArchive, folder: Path, into: Path, *, task: str | None, on_phase: Callable[[str], None]
) -> dict[str, Any]:
    """Extract the files that the manifest lists, check them, and move the package to `into`.

    Returns the report. Raises `PackageError` if checksums, weights, encoders or graphs do not fit the manifest.
    """
    on_phase("unpacking")
    archive.extract([MANIFEST], folder)
    paths = {file.path for file in read_manifest(folder / MANIFEST).files}
    if missing := sorted(paths - archive.names):
        raise PackageError(
            f"the archive lacks files that {MANIFEST} lists: {', '.join(missing[:MAX_LISTED_FILES])}",
            hint="Download the package again.",
        )
    archive.extract(paths - {MANIFEST}, folder)
    on_phase("reading")
    package = ModelPackage.open(folder)
    package_task = package.manifest.task.name if package.manifest.task else None
    if task is not None and task != package_task:
        raise PackageError(
            f"task is {task}, but the package is {package_task or 'a base model'}", hint="Leave out task."
        )
    on_phase("checking")
    _check_predictions(package)
    folder.rename(into)
    ignored = sorted(archive.names - paths - {MANIFEST})
    notes = [f"{', '.join(ignored[:MAX_LISTED_FILES])}: not in the manifest, ignored"] if ignored else []
    return {
        "format": "plinth",
        "task": package_task,
        "parameters": package.manifest.parameters,
        "labels": package.manifest.labels,
        "notes": notes,
    }


def _check_predictions(package: ModelPackage) -> None:
    """Predict an example.

    Weights and graphs, if there are both, must compute the same at each step. Raises `PackageError`.
    """
    graphs = {name: [package.file(file) for file in graph.files] for name, graph in package.manifest.graphs.items()}
    for paths in graphs.values():
        for path in paths:
            refuse_external_data(path)
    if package.has_graphs_only:
        Predictor.load(package).signature()
        return
    run = load(package, device="cpu")
    if graphs:
        sessions = {name: [Session(path) for path in paths] for name, paths in graphs.items()}
        run = _compare_runs(run, OnnxGraphs(sessions))
    Predictor(package, engine="torch", run=run).signature()


def _compare_runs(run_torch: Run, run_onnx: Run) -> Run:
    """Return a runner with the outputs of torch.

    It raises `PackageError` if ONNX Runtime computes others.
    """

    def run(graph: str, batch: Arrays) -> Arrays:
        outputs = run_torch(graph, batch)
        for name, array in run_onnx(graph, batch).items():
            expected = outputs[name]
            limit = TOLERANCE * max(1.0, largest_value(expected))
            if array.shape != expected.shape or largest_difference(array, expected) > limit:
                message = f"the outputs of the graph {graph!r} differ from those of the weights of the package"
                raise PackageError(message, hint="Download or export the package again.")
        return outputs

    return run
