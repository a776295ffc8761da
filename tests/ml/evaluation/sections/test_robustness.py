"""Section `robustness` of an evaluation: corrupted rows, and an attack by gradients."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.evaluation.evaluate import evaluate_package
from tests.support.ml.digits import import_digits, run, spec


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("robustness")
    digits = import_digits(folder / "digits")
    schedule = {"epochs": 3, "batch_size": 128, "precision": "float32"}
    training = spec("finetune", task="image_classification", architecture="cnn", schedule=schedule)
    package = run(digits, folder / "run", training).package
    report = evaluate_package(package, Dataset.open(digits), split="test", robustness=True)
    json.dumps(report, allow_nan=False)
    robustness: dict[str, Any] = report["robustness"]
    return robustness


def test_every_corruption_of_images_is_measured_at_three_levels(section: dict[str, Any]) -> None:
    names = [entry["corruption"] for entry in section["corruptions"]]
    assert sorted(set(names)) == ["blur", "contrast", "image_noise", "jpeg_compression", "rotation", "shift"]
    assert [entry["level"] for entry in section["corruptions"]] == [1, 2, 3] * 6
    assert section["metric"] == "accuracy"
    assert section["rows"] == 180, "every second of 360 rows"


def test_a_strong_corruption_costs_accuracy(section: dict[str, Any]) -> None:
    values = {(entry["corruption"], entry["level"]): entry["metric_value"] for entry in section["corruptions"]}
    assert section["clean"]["metric_value"] > values["rotation", 3]
    assert section["clean"]["interval"][0] < section["clean"]["metric_value"] < section["clean"]["interval"][1]


def test_the_attack_goes_to_nearly_nothing_at_a_large_radius(section: dict[str, Any]) -> None:
    radii = section["attack"]["radii"]
    assert radii[0]["accuracy"] == pytest.approx(section["clean"]["metric_value"], abs=0.05)
    assert radii[-1]["radius"] == 1
    assert radii[-1]["accuracy"] < 0.1
    assert section["attack"]["warnings"] == []


def test_without_a_request_nothing_is_corrupted(tmp_path: Path) -> None:
    digits = import_digits(tmp_path)
    package = run(digits, tmp_path / "run", spec("finetune", task="image_classification", architecture="cnn")).package
    assert "robustness" not in evaluate_package(package, Dataset.open(digits), split="test")
