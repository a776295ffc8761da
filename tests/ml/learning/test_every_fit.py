"""Each architecture with each task and objective that it fits: training, packaging, both engines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.jobs.schemas import Report
from ml.data.dataset import Dataset
from ml.data.rows import Rows
from ml.encoders.base import collate_slots, encode_slots
from ml.inference.predictor import Predictor
from ml.learning.export import torch_runner as torch_engine
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.package import ModelPackage
from ml.signals import Arrays, Run
from ml.spec.catalog import Catalog, TaskEntry
from ml.tasks import TASKS
from ml.tasks.base import embedding_graphs
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

CATALOG = Catalog.load()
FITS = [("task", name, fits) for name, fits in CATALOG.fits.tasks.items()]
FITS += [("objective", name, fits) for name, fits in CATALOG.fits.objectives.items()]


def _cases() -> list[Any]:
    return [
        pytest.param(kind, name, slot, architecture, id=f"{name}-{architecture}")
        for kind, name, fits in FITS
        for slot, reasons in fits.items()
        for architecture, reason in reasons.items()
        if reason is None
    ]


def _tiny(architecture: str) -> dict[str, Any]:
    return {"name": architecture, "config": ARCHITECTURES[architecture].tiny().model_dump(mode="json")}


@pytest.mark.parametrize(("kind", "name", "slot", "architecture"), _cases())
def test_a_fitting_architecture_trains_and_both_engines_agree(
    kind: str, name: str, slot: str, architecture: str, tmp_path: Path
) -> None:
    entry = CATALOG.tasks[name] if kind == "task" else CATALOG.objectives[name]
    data = samples.path(samples.columns_read_by(entry) if isinstance(entry, TaskEntry) else entry.columns)
    others = {
        other: _tiny(slot_entry.default_architecture)
        for other, slot_entry in entry.slots.items()
        if slot_entry.default_architecture is not None
    }
    fields: dict[str, Any] = {"architectures": {**others, slot: _tiny(architecture)}, kind: name}
    result = run(data, tmp_path, spec("finetune" if kind == "task" else "pretrain", **fields))

    package = ModelPackage.open(result.package.directory)
    manifest = package.manifest
    assert manifest.graphs, manifest.no_graph_reason
    assert manifest.task == (result.package.manifest.task if kind == "task" else None)
    assert (manifest.task is not None) == (kind == "task")
    assert result.metrics["validation/loss"] == manifest.metrics["validation/loss"]

    if kind == "task":
        parsed = Report.model_validate_json(json.dumps(result.report)).model_dump(mode="json")
        assert json.loads(json.dumps(result.report)).items() <= parsed.items()

    rows = Dataset.open(data).rows("test")[:7]
    predict = _make_request(package, rows)
    by_torch, by_graph = predict(torch_engine.load(package)), predict(_graphs_of(package))
    assert by_torch.keys() == by_graph.keys()
    for output, expected in by_torch.items():
        if expected.dtype == object:  # lists of what was not requested
            assert by_graph[output].tolist() == expected.tolist()
            continue
        np.testing.assert_allclose(by_graph[output], expected, rtol=1e-4, atol=1e-5)
    if kind == "task" and any(set(arrays) & set(entry.slots) for arrays in TASKS[name].graphs.values()):
        _check_embeddings(package, rows)


def _check_embeddings(package: ModelPackage, rows: Rows) -> None:
    """Check that all embeddings are finite and of one length."""
    task = package.task()
    assert task is not None
    inputs = [task.to_input_and_target(row)[0] for row in rows]
    answers = Predictor.load(package).predict(inputs, parameters={"return": "embedding"})
    assert len({len(answer["embedding"]) for answer in answers}) == 1
    assert np.isfinite([answer["embedding"] for answer in answers]).all()


def _make_request(package: ModelPackage, rows: Rows) -> Callable[[Run], Arrays]:
    """Return a function that predicts the rows like a request."""
    task, encoders = package.task(), package.encoders()
    if task is None:
        signals = collate_slots(encoders, encode_slots(encoders, {slot: slot for slot in encoders}, rows))
        graphs = embedding_graphs(encoders)
        return lambda run: {graph: run(graph, signals)["embedding"] for graph in graphs}
    requests = [task.read(task.to_input_and_target(row)[0], parameters={}) for row in rows]
    batch = task.collate(task.encode(Rows({name: [row[name] for row in requests] for name in requests[0]})))
    return lambda run: task.predict(run, batch)


def _graphs_of(package: ModelPackage) -> Run:
    predictor = Predictor.load(package)
    assert predictor.engine == "onnxruntime"
    return predictor._run


def test_a_package_without_a_graph_is_served_by_torch(digits: Path, tmp_path: Path) -> None:
    result = run(digits, tmp_path, spec("finetune", task="image_classification", architecture="cnn")).package
    rows = Dataset.open(digits).rows("test")[:9]
    task = result.task()
    assert task is not None
    inputs = [task.to_input_and_target(row)[0] for row in rows]
    by_graph = Predictor.load(result).predict(inputs)
    bare = ModelPackage(
        result.directory, result.manifest.model_copy(update={"graphs": {}, "no_graph_reason": "left out"})
    )
    predictor = Predictor.load(bare)
    assert predictor.engine == "torch"
    by_torch = predictor.predict(inputs)
    assert [output["label"] for output in by_torch] == [output["label"] for output in by_graph]
    assert [output["confidence"] for output in by_torch] == pytest.approx(
        [output["confidence"] for output in by_graph], abs=1e-5
    )


def test_weights_that_do_not_fit_the_manifest_are_refused(digits: Path, tmp_path: Path) -> None:
    from ml.errors import PackageError

    result = run(digits, tmp_path, spec("finetune", task="image_classification", architecture="cnn")).package
    other = result.manifest.architectures["image"].model_copy(update={"config": {"preset": "medium"}})
    changed = result.manifest.model_copy(update={"architectures": {"image": other}})
    with pytest.raises(PackageError, match="do not fit"):
        torch_engine.load_network(ModelPackage(result.directory, changed))


def test_torch_has_a_thread_after_a_run(digits: Path, tmp_path: Path) -> None:
    run(digits, tmp_path, spec("finetune", task="image_classification", architecture="cnn"))
    assert torch.get_num_threads() >= 1
