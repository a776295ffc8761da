"""Inputs leave at the smallest size that is sure of their class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.evaluation.evaluate import evaluate_package
from ml.inference.cascade import Cascade, Stage
from ml.inference.predictor import Predictor
from ml.learning.export.packaging import to_requests
from ml.learning.pipeline.exits import SizeOutputs, choose_threshold, simulate
from ml.learning.pipeline.train import NO_EXITS, TrainingResult
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.resolve import resolve
from tests.support.ml.digits import SHORT, run, spec

CNN = {"name": "cnn", "config": {"stages": [[8, 8], [8]]}}


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    schedule = {**SHORT, "epochs": 8, "batch_size": 64, "learning_rate": 0.01}
    fields = {"task": "image_classification", "architecture": CNN, "sizes": [1, 0.5], "exits": True}
    return run(digits, tmp_path_factory.mktemp("exits"), spec("finetune", **fields, schedule=schedule))


def test_a_row_leaves_at_the_first_size_that_is_sure() -> None:
    seen: list[tuple[str, list[int]]] = []

    def stage(name: str, logits: list[list[float]]) -> Any:
        def infer(graph: str, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            seen.append((name, batch["row"].tolist()))
            return {"logits": np.array(logits, np.float32)[batch["row"]]}

        return infer

    small = stage("small", [[9, 0], [1, 0], [0, 9], [0, 1]])
    large = stage("large", [[0, 5], [5, 0], [5, 0], [5, 0]])
    cascade = Cascade([Stage(small, 1.0, 0.9), Stage(large, 2.0, None)])

    logits = cascade("model", {"row": np.arange(4)})["logits"]
    cascade("model", {"row": np.array([0])})

    assert logits.tolist() == [[9, 0], [2.5, 0], [0, 9], [2.5, 0]]
    assert seen == [("small", [0, 1, 2, 3]), ("large", [1, 3]), ("small", [0])]


def outputs(size: float, operations: int, logits: list[list[float]]) -> SizeOutputs:
    network: Any = None
    return SizeOutputs(size, network, 1.0, operations, np.array(logits, np.float32))


def test_the_threshold_is_the_cheapest_that_keeps_the_accuracy() -> None:
    # The small size is wrong where it is least sure: in 30 of 1,000 rows.
    label = np.zeros(1000, int)
    small = outputs(0.5, 10, [[0, 1]] * 30 + [[2, 0]] * 970)
    large = outputs(1, 100, [[3, 0]] * 1000)
    threshold = choose_threshold([small, large], label)
    assert threshold is not None
    accuracy, fractions, operations = simulate([small, large], label, threshold)

    assert (accuracy, fractions, operations) == (1.0, pytest.approx([0.97, 0.03]), pytest.approx(13.0))
    few = [outputs(item.size, item.operations, item.logits[25:75].tolist()) for item in (small, large)]
    assert choose_threshold(few, label[:50]) is None, "no size is sure enough for so few rows"


def test_the_loss_is_bounded_and_not_only_counted() -> None:
    # Two of 1,000 sure rows are wrong: counted 0.2 points, but the bound is above 0.3.
    label = np.zeros(1000, int)
    sure = [[5, 0]] * 498
    small = outputs(0.5, 10, [[0, 5], [0, 5], *sure, *[[1, 0]] * 500])
    large = outputs(1, 100, [[3, 0]] * 1000)

    assert choose_threshold([small, large], label) is None

    small = outputs(0.5, 10, [*sure, *[[1, 0]] * 502])
    assert choose_threshold([small, large], label) is not None


def test_a_model_whose_exits_save_nothing_has_none(digits: Path, tmp_path: Path) -> None:
    fields = {"task": "image_classification", "architecture": CNN, "sizes": [1, 0.5], "exits": True}
    # So few steps that no size is sure of anything.
    result = run(digits, tmp_path, spec("finetune", **fields, schedule={**SHORT, "learning_rate": 1e-6}))

    assert "exits" not in result.report
    assert NO_EXITS in result.report["notes"]
    assert result.package.manifest.exits == []
    assert len(result.package.manifest.sizes) == 2


def test_the_served_graphs_are_those_that_the_report_measured(digits: Path, trained: TrainingResult) -> None:
    section = trained.report["exits"]
    package = ModelPackage.open(trained.package.directory)
    report = evaluate_package(package, Dataset.open(digits), split="test")

    assert report["metrics"]["accuracy"] == pytest.approx(section["accuracy_with_exits"])
    assert trained.report["metrics"]["accuracy"] == pytest.approx(section["accuracy_with_exits"])
    assert sum(stage["rows"] for stage in section["stages"]) == pytest.approx(1)
    assert [stage["size"] for stage in section["stages"]] == [0.5, 1]
    assert section["stages"][0]["rows"] > 0.2
    # A tenth of the rows chose the threshold: a few rows of the 360 may be answered otherwise.
    assert section["accuracy_with_exits"] > section["accuracy"] - 0.02
    assert section["operations_with_exits"] < section["operations"] * 1.3
    assert {stage.size: stage.threshold for stage in package.manifest.exits} == {0.5: section["threshold"], 1: None}


def test_answers_do_not_depend_on_the_batch(digits: Path, trained: TrainingResult) -> None:
    package = ModelPackage.open_lazily(trained.package.directory)
    task, predictor = package.task(), Predictor.load(package)
    assert task is not None
    rows = to_requests(task, Dataset.open(digits).rows("test")[:40])
    together = predictor.answer(rows, output=None)
    alone = [predictor.answer([row], output=None)[0] for row in rows]

    assert "sizes/0.5/model.onnx" in package.served_paths
    for one, other in zip(together, alone, strict=True):
        assert one["label"] == other["label"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    embeddings = predictor.answer(rows[:3], output="embedding")
    assert len(embeddings[0]["embedding"]) == 8


def test_exits_without_sizes_have_the_usual_ones() -> None:
    catalog = Catalog.load()
    request = spec("finetune", task="image_classification", architecture=CNN, exits=True)

    assert check(request, catalog) == []
    resolved = resolve(request, catalog)
    assert resolved.sizes == [1, 0.5, 0.25, 0.125]
    assert resolve(resolved, catalog) == resolved


def test_exits_of_an_architecture_with_one_size_say_why() -> None:
    request = spec("finetune", task="text_classification", architecture="text_cnn", exits=True)

    (finding,) = check(request, Catalog.load())

    assert finding.path == "exits"
    assert "has only one size" in finding.message
    assert "transformer" in finding.expected
