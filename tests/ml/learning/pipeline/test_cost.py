"""The cost of a training is measured by a few of its own steps."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.learning.pipeline.cost import MAX_STEPS, measure_cost
from ml.spec.catalog import Catalog
from ml.spec.cost import TrainingCost, find_waste
from ml.spec.resolve import resolve
from tests.support.ml.digits import run, spec

FIELDS: dict[str, Any] = {"task": "image_classification", "architecture": "cnn"}
SCHEDULE = {"epochs": 2, "batch_size": 64, "precision": "float32"}


def test_steps_weights_and_disk_are_those_of_the_training(digits: Path, tmp_path: Path) -> None:
    request = spec("finetune", **FIELDS, schedule=SCHEDULE)
    resolved = resolve(request, Catalog.load(), dataset=Dataset.open(digits).summary)
    (tmp_path / "cost").mkdir()
    cost = measure_cost(resolved, digits, tmp_path / "cost", device="cpu", threads=1)
    result = run(digits, tmp_path / "run", request)

    assert cost.steps == result.report["training"]["steps"]
    assert cost.rows == Dataset.open(digits).summary.splits["train"]
    assert 3 <= cost.measured_steps <= MAX_STEPS
    # Statistics of batch normalization are not parameters.
    assert result.package.manifest.parameters <= cost.weights < 1.1 * result.package.manifest.parameters
    assert cost.seconds_per_step > 0
    assert cost.training_seconds == pytest.approx(cost.steps * cost.seconds_per_step)
    # A checkpoint has the weights and two moments of the optimizer.
    assert cost.checkpoint_bytes > 3 * 4 * result.package.manifest.parameters
    assert cost.disk_bytes == 2 * cost.checkpoint_bytes
    assert 1 <= cost.largest_batch_size <= cost.rows
    assert 0 < cost.memory_bytes < cost.available_memory_bytes


BASE = {
    "rows": 1000,
    "weights": 10_000,
    "batch_size": 32,
    "steps": 100,
    "measured_steps": 20,
    "seconds_per_step": 0.1,
    "training_seconds": 10.0,
    "memory_bytes": 10**9,
    "available_memory_bytes": 4 * 10**9,
    "largest_batch_size": 512,
    "checkpoint_bytes": 10**6,
    "disk_bytes": 2 * 10**6,
    "device": "cpu",
    "threads": 1,
}


@pytest.mark.parametrize(
    ("changes", "schedule", "warning"),
    [
        ({}, {}, None),
        ({"training_seconds": 200_000}, {}, "the training takes 2.3 days"),
        ({}, {"epochs": 200}, "200 epochs without early stopping"),
        ({}, {"epochs": 200, "early_stopping": {"patience": 5}}, None),
        ({"weights": 50_000_000}, {}, "50,000,000 weights learn from 1,000 rows"),
        ({"memory_bytes": 5 * 10**9}, {}, "it needs 5.0 GB of memory, and 4.0 GB are free"),
        ({"batch_size": 1}, {}, "batches of one row"),
    ],
)
def test_waste_is_named_with_what_to_change(
    changes: dict[str, Any], schedule: dict[str, Any], warning: str | None
) -> None:
    request = spec("finetune", **FIELDS, schedule={**SCHEDULE, **schedule})
    warnings = list(find_waste(TrainingCost.model_validate({**BASE, **changes}), request))

    assert [item[: len(warning or "")] for item in warnings] == ([warning] if warning else [])
