"""Rows of rare classes count more in the loss, and the report says so."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from ml.data.importing.importer import import_dataset
from ml.data.rows import Labels
from ml.learning.nn.architectures.base import Widths
from ml.learning.nn.heads.classifier import Classifier, ClassifierConfig
from ml.metrics.class_weights import class_weights, count_classes
from tests.support.ml.digits import run, spec


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    label = np.repeat([0, 1, 2], [90, 9, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=label)

    assert class_weights("balanced", np.bincount(label)) == pytest.approx(expected, rel=1e-5)


def test_automatic_weights_lie_between_none_and_balanced() -> None:
    counts = np.array([900, 90, 10])
    weights, balanced = class_weights("auto", counts), class_weights("balanced", counts)

    assert weights is not None
    assert balanced is not None
    assert np.dot(weights, counts) / counts.sum() == pytest.approx(1, rel=1e-5)
    assert weights[2] / weights[0] == pytest.approx((balanced[2] / balanced[0]) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("counts", [[50, 50], [99, 10], [99], [0, 10]])
def test_classes_of_similar_size_have_no_weights(counts: list[int]) -> None:
    assert class_weights("auto", np.array(counts)) is None


def test_a_class_without_rows_has_the_weight_of_one() -> None:
    weights = class_weights("auto", np.array([100, 0, 1]))

    assert weights is not None
    assert weights[1] == 1


@pytest.mark.parametrize("labels", [["b", "a", "b"], Labels(np.array([1, 0, 1], np.int32), ["a", "b"])])
def test_rows_are_counted_by_the_name_of_their_class(labels: Any) -> None:
    assert count_classes(labels, ["b", "c", "a"]).tolist() == [2, 0, 1]


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
def test_the_loss_of_a_row_is_multiplied_by_the_weight_of_its_class(loss: Any) -> None:
    weights = (0.5, 3.0)
    plain, weighted = (
        Classifier(
            ClassifierConfig(classes=2, loss=loss, class_weights=option), widths={"image": Widths(shape={}, pooled=3)}
        )
        for option in (None, weights)
    )
    logits, label = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    single = [float(plain.loss({"logits": logits[row : row + 1]}, {"label": label[row : row + 1]})) for row in range(4)]
    expected = np.mean([value * weights[code] for value, code in zip(single, label.tolist(), strict=True)])

    assert float(weighted.loss({"logits": logits}, {"label": label})) == pytest.approx(expected, rel=1e-5)
    assert "class_weights" not in weighted.state_dict()


def test_a_rare_class_is_predicted_more_often_and_the_report_says_why(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    # Two overlapping classes, of which one has a twentieth of the rows.
    rows = [(0, value) for value in generator.normal(0, 1, 760)] + [(1, value) for value in generator.normal(1, 1, 40)]
    generator.shuffle(rows)
    table = tmp_path / "table.csv"
    table.write_text("value,label\n" + "".join(f"{value:.4f},{'rare' if code else 'usual'}\n" for code, value in rows))
    report = import_dataset([table], tmp_path / "dataset", task="tabular_classification")
    assert report.state == "ready", report.errors

    def train(mode: str) -> Any:
        task = {"name": "tabular_classification", "config": {"class_weight": mode}}
        return run(tmp_path / "dataset", tmp_path / mode, spec("finetune", task=task, schedule={"epochs": 10})).report

    reports = {mode: train(mode) for mode in ("none", "auto", "balanced")}
    recall = {
        mode: next(entry["recall"] for entry in report["per_class"] if entry["label"] == "rare")
        for mode, report in reports.items()
    }

    assert recall["none"] <= recall["auto"] < recall["balanced"]
    notes = Counter({mode: sum("class_weight" in note for note in report["notes"]) for mode, report in reports.items()})
    assert notes == {"none": 0, "auto": 1, "balanced": 1}
