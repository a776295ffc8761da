"""Who brings few rows and names nothing gets a model that has learned, or is told that it has not."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.data.importing.importer import import_dataset
from ml.learning.training.progress import Progress
from ml.tasks import TASKS
from tests.support.ml.digits import run, spec

ASKED = {"task": "image_classification", "architecture": "cnn"}


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and light pictures, 96 to learn from and 60 to test on."""
    folder = tmp_path_factory.mktemp("shades")
    chance = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "shades.zip", "w") as archive:
        for number in range(156):
            label, mean = (("dark", 80), ("light", 170))[number % 2]
            pixels = chance.normal(mean, 40, size=(32, 32, 3)).clip(0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            archive.writestr(f"{'train' if number < 96 else 'test'}/{label}/{number}.png", file.getvalue())
    report = import_dataset([folder / "shades.zip"], folder / "dataset", task="image_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    return folder / "dataset"


@pytest.mark.parametrize("stopping", [{}, {"early_stopping": {"patience": 1}}])
def test_a_hundred_pictures_are_told_apart_by_default(
    shades: Path, tmp_path: Path, stopping: dict[str, object]
) -> None:
    told: list[Progress] = []
    made = run(shades, tmp_path, spec("finetune", **ASKED, schedule=stopping), told=told)
    report = made.report
    assert report is not None
    assert report["metrics"]["accuracy"] >= 0.95
    assert report["warnings"] == []
    few = "86 rows are few: 25 epochs in batches of 10, not the usual 5 in batches of 128"
    assert report["training"]["small_data_adjustments"] == few
    assert few in [each.message for each in told]
    assert {each.epochs for each in told if each.step} == {25}
    assert (report["training"]["best_epoch"] or 25) % 5 == 0
    judged = [each for each in told if "validation/loss" in each.metrics]
    assert len(judged) == report["training"]["epochs"] / 5


def test_who_names_epochs_and_batches_gets_those_and_is_told_what_came_of_it(shades: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    made = run(shades, tmp_path, spec("finetune", **ASKED, schedule={"epochs": 5, "batch_size": 128}), told=told)
    report = made.report
    assert report is not None
    assert (
        report["training"]["epochs"],
        report["training"]["steps"],
        report["training"]["small_data_adjustments"],
    ) == (5, 5, None)
    (warning,) = report["warnings"]
    assert "accuracy is 0.5 on 60 rows of test, that of the trivial baseline 0.5" in warning
    assert warning in [each.message for each in told]
