"""Multimodal regression: a number that no part alone says, and parts that are missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.files import images
from ml.inference.predictor import Predictor
from ml.tasks import TASKS
from tests.support.ml import dataset_files
from tests.support.ml.digits import run, spec

TASK = "multimodal_regression"
COUNT = 240
WORDS = {"small": 0, "large": 10}
BRIGHT = 10


def make_image(is_bright: bool, seed: int) -> bytes:
    """Return an even image: one without a pattern that could be learned by heart."""
    return images.encode_png(np.full((8, 8, 1), seed % 60 + (180 if is_bright else 10), np.uint8))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train on prices of 100, plus 10 for a bright image, plus 10 for large."""
    folder = tmp_path_factory.mktemp(TASK)
    lines, members = ["file_name,text,price"], []
    for row in range(COUNT):
        is_bright, word = row % 2 == 0, ("small", "large")[row // 2 % 2]
        members.append((f"{row}.png", make_image(is_bright, row)))
        text = "" if row % 12 == 0 else f"a {word} one"
        lines.append(f"{row}.png,{text},{100 + BRIGHT * is_bright + WORDS[word]}")
    archive = dataset_files.make_zip([("metadata.csv", "\n".join([*lines, ""]).encode()), *members])
    report = dataset_files.upload(folder, {"a.zip": archive}, task=TASK, tasks=TASKS)
    assert report.state == "ready", report.errors
    schedule = {"epochs": 25, "batch_size": 32, "precision": "float32"}
    task = {"name": TASK, "config": {"image_augmentation": "off"}}
    return run(Path(folder / "dataset"), folder, spec("finetune", task=task, schedule=schedule))


def test_both_parts_together_predict_what_neither_predicts_alone(result: Any) -> None:
    parts = result.report["parts"]

    assert result.report["metrics"]["rmse"] < result.report["baseline"]["rmse"] / 4
    assert list(parts) == ["image", "text"]
    for section in parts.values():
        assert section["rmse_of_all"] < section["rmse"]
    assert parts["image"]["rows"] == result.report["rows"]


def test_a_missing_part_leaves_the_number_of_the_other_part(result: Any) -> None:
    image = make_image(True, 1000)
    large, small, seen = (
        output["value"]
        for output in Predictor.load(result.package).predict(
            [{"image": image, "text": "a large one"}, {"image": image, "text": "a small one"}, {"image": image}]
        )
    )

    # The text is worth 10; without it the number lies between, as the mean of the rows of that image.
    assert large - small > 5
    assert small < seen < large


def test_the_graph_equals_the_network_and_names_both_outputs(result: Any) -> None:
    (graph,) = result.package.manifest.graphs.values()

    assert set(graph.outputs) == {"prediction", "part_predictions", "embedding"}
    # Standard deviations of the target; float32 sums of a few hundred terms differ by less.
    assert graph.parity is not None
    assert graph.parity.max_abs_difference < 1e-4
