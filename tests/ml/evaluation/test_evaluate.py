"""Evaluation of packages by their graphs, against what training reported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.evaluation.evaluate import evaluate_package
from ml.evaluation.sections import SECTIONS
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from tests.support.ml import packages, samples
from tests.support.ml.digits import import_digits, run, spec


class Interrupt(Exception):
    """Ends an evaluation."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(
        digits, tmp_path_factory.mktemp("trained"), spec("finetune", task="image_classification", architecture="cnn")
    )


@pytest.fixture(scope="module")
def report(trained: Any, digits: Path) -> dict[str, Any]:
    return evaluate_package(trained.package, Dataset.open(digits), split="test")


def test_the_graph_reaches_what_training_reported(trained: Any, report: dict[str, Any]) -> None:
    assert report["engine"] == "onnxruntime"
    assert report["metrics"] == pytest.approx(trained.report["metrics"], abs=1e-4)
    for name in ("baseline", "confusion_matrix", "per_class"):
        assert report[name] == trained.report[name]
    assert report["intervals"].keys() == trained.report["intervals"].keys()
    # A confidence near the edge of two bins may fall into either.
    assert report["calibration"]["ece"] == pytest.approx(trained.report["calibration"]["ece"], abs=0.01)
    assert report["calibration"]["temperature"] == trained.report["calibration"]["temperature"]
    json.dumps(report, allow_nan=False)


def test_mistakes_name_the_rows(report: dict[str, Any], digits: Path) -> None:
    mistakes, labels = report["mistakes"], Dataset.open(digits).rows("test").columns["label"]

    wrong = report["rows"] - round(report["metrics"]["accuracy"] * report["rows"])
    assert mistakes["count"] == len(mistakes["rows"]) == wrong > 0
    confidences = [row["confidence"] for row in mistakes["rows"]]
    assert confidences == sorted(confidences, reverse=True)
    assert all(row["truth"] == labels[row["index"]] != row["answer"] for row in mistakes["rows"])


def test_slices_of_classes_have_their_recall_and_the_worst_is_first(report: dict[str, Any]) -> None:
    recall = {row["label"]: row["recall"] for row in report["per_class"]}

    assert {part["value"]: part["metric_value"] for part in report["slices"]} == pytest.approx(recall)
    values = [part["metric_value"] for part in report["slices"]]
    assert values == sorted(values)
    assert sum(part["rows"] for part in report["slices"]) == report["rows"]
    assert all(part["interval"][0] <= part["metric_value"] <= part["interval"][1] for part in report["slices"])


def test_a_dataset_without_training_rows_has_its_own_baseline(trained: Any, digits: Path) -> None:
    dataset = Dataset.open(digits)
    splits = {**dataset.summary.splits, "train": 0}
    without = Dataset(dataset.directory, dataset.summary.model_copy(update={"splits": splits}))

    report = evaluate_package(trained.package, without, split="test")

    assert "the dataset has no training rows" in report["notes"][-1]
    most = max(sum(row) for row in report["confusion_matrix"])
    assert report["baseline"]["accuracy"] == pytest.approx(most / report["rows"])


def test_an_evaluation_can_be_interrupted(trained: Any, digits: Path) -> None:
    def interrupt() -> None:
        raise Interrupt

    with pytest.raises(Interrupt):
        evaluate_package(trained.package, Dataset.open(digits), split="test", on_batch=interrupt)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_every_task_is_evaluated(task: str, tmp_path: Path) -> None:
    packages.make_untrained(task, tmp_path / "package")
    package, dataset = ModelPackage.open(tmp_path / "package"), samples.dataset(samples.columns_read_by(TASKS[task]))

    report = evaluate_package(package, dataset, split="test")

    assert report["task"] == task
    assert report["rows"] == dataset.summary.splits["test"]
    assert set(report["metrics"]) <= set(TASKS[task].metrics)
    assert all(np.isfinite(value) for value in report["metrics"].values())
    for name in SECTIONS:
        assert name not in report or report[name] is not None
    for row in (report.get("mistakes") or {"rows": []})["rows"]:
        assert 0 <= row["index"] < report["rows"]
    json.dumps(report)
