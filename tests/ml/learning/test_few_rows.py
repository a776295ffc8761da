"""Few rows with the default schedule give a trained model, or a warning."""

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

CLASSIFY = {"task": "image_classification", "architecture": "cnn"}


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Import dark and light images: 96 to train on and 60 to test on."""
    folder = tmp_path_factory.mktemp("shades")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "shades.zip", "w") as archive:
        for number in range(156):
            label, mean = (("dark", 80), ("light", 170))[number % 2]
            pixels = random.normal(mean, 40, size=(32, 32, 3)).clip(0, 255).astype(np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            archive.writestr(f"{'train' if number < 96 else 'test'}/{label}/{number}.png", file.getvalue())
    report = import_dataset([folder / "shades.zip"], folder / "dataset", task="image_classification", tasks=TASKS)
    assert report.state == "ready", report.errors
    return folder / "dataset"


# 200 steps are enough here; a budget below 600 allows no more.
@pytest.mark.parametrize("stopping", [{"max_steps": 500}, {"max_steps": 500, "early_stopping": {"patience": 1}}])
def test_a_hundred_images_are_classified_by_default(shades: Path, tmp_path: Path, stopping: dict[str, object]) -> None:
    reports: list[Progress] = []
    result = run(shades, tmp_path, spec("finetune", **CLASSIFY, schedule=stopping), reports=reports)
    report = result.report
    assert report["metrics"]["accuracy"] >= 0.95
    assert report["warnings"] == []
    assert (report["training"]["max_steps"], report["training"]["is_cut_by_budget"]) in [(500, False), (500, True)]
    few = "86 rows are few: 25 epochs in batches of 10, not the usual 5 in batches of 128"
    assert report["training"]["small_data_adjustments"] == few
    assert few in [progress.message for progress in reports]
    assert {progress.epochs for progress in reports if progress.step} == {25}
    assert (report["training"]["best_epoch"] or 25) % 5 == 0
    evaluated = [progress for progress in reports if "validation/loss" in progress.metrics]
    assert len(evaluated) == report["training"]["epochs"] / 5


def test_epochs_and_batches_of_the_user_hold_and_a_weak_model_has_a_warning(shades: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    result = run(
        shades, tmp_path, spec("finetune", **CLASSIFY, schedule={"epochs": 5, "batch_size": 128}), reports=reports
    )
    report = result.report
    assert (
        report["training"]["epochs"],
        report["training"]["steps"],
        report["training"]["small_data_adjustments"],
    ) == (5, 5, None)
    (warning,) = report["warnings"]
    assert "accuracy is 0.5 on 60 rows of test, the trivial baseline has 0.5" in warning
    assert warning in [progress.message for progress in reports]
