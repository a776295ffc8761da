"""Robustness: the report of adversarial training, and the alarm of masked gradients."""

from pathlib import Path
from typing import Any

import pytest

from ml.errors import SpecError, TrainingInterrupted
from ml.learning.pipeline.robustness import RadiusEntry, masking_warnings
from ml.learning.pipeline.train import TrainingResult
from ml.learning.training.progress import Progress, Stop
from ml.metrics.base import wilson_interval
from ml.package.package import WEIGHTS
from tests.support.ml.digits import run, spec

TASK = {"task": "image_classification", "architecture": "cnn"}
SCHEDULE = {"epochs": 2, "batch_size": 128, "precision": "float32"}
ADVERSARY = {"name": "fgsm", "config": {"radius": 0.1}}


def _adversarial(**fields: Any) -> Any:
    return spec("finetune", **{**TASK, "schedule": SCHEDULE, "adversary": ADVERSARY, **fields})


@pytest.fixture(scope="module")
def result(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return run(digits, tmp_path_factory.mktemp("adversarial"), _adversarial())


def test_a_report_shows_accuracy_under_attack_by_radius(result: TrainingResult) -> None:
    section: Any = result.report["robustness"]["attack"]
    assert (section["attack"], section["norms"], section["rows"]) == ("pgd", {"image": "linf"}, 200)
    entries = section["radii"]
    assert [entry["radius"] for entry in entries] == [0, 0.025, 0.05, 0.1, 0.15, 0.2, 1]
    assert entries[0]["accuracy"] > entries[3]["accuracy"] > entries[-1]["accuracy"]
    assert entries[-1]["accuracy"] < 0.1
    assert entries[0]["loss"] < entries[3]["loss"] < entries[-1]["loss"]
    assert section["warnings"] == []


def test_validation_shows_scores_with_and_without_attack(result: TrainingResult) -> None:
    assert result.metrics["validation/robust_accuracy"] <= result.metrics["validation/accuracy"]


def test_a_run_that_is_interrupted_ends_with_the_same_weights(
    digits: Path, tmp_path: Path, result: TrainingResult
) -> None:
    calls = iter(range(1000))
    with pytest.raises(TrainingInterrupted):
        run(digits, tmp_path, _adversarial(), should_stop=lambda: Stop.LEAVE if next(calls) == 12 else None)
    reports: list[Progress] = []
    resumed = run(digits, tmp_path, _adversarial(), reports=reports)
    assert any((report.message or "").startswith("resuming") for report in reports)
    assert resumed.package.file(WEIGHTS).read_bytes() == result.package.file(WEIGHTS).read_bytes()


def test_a_model_trained_under_attack_resists_more_than_another(
    digits: Path, tmp_path: Path, result: TrainingResult
) -> None:
    # A radius of 0 attacks nothing, so that both reports come from the same code.
    plain = run(digits, tmp_path, _adversarial(adversary={"name": "fgsm", "config": {"radius": 0}}))
    section: Any = plain.report["robustness"]["attack"]
    assert [entry["radius"] for entry in section["radii"]] == [0, 1], "a radius of 0 has no multiples"
    robust: Any = result.report["robustness"]["attack"]
    assert robust["radii"][0]["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"adversary": "fgms"}, "adversary", "fgsm"),
        ({"adversary": {"name": "pgd", "config": {"step": 3}}}, "adversary.config.step", "steps"),
        ({"adversary": {"name": "pgd", "config": {"radius": -1}}}, "adversary.config.radius", "minimum"),
    ],
)
def test_an_unknown_attack_or_option_is_refused_with_the_likeliest(
    digits: Path, tmp_path: Path, fields: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(SpecError) as error:
        run(digits, tmp_path, _adversarial(**fields))
    (finding,) = error.value.findings
    assert finding.path == path
    assert words in f"{finding.message} {finding.hint} {finding.expected}"


def test_early_stopping_can_monitor_the_accuracy_under_attack(digits: Path, tmp_path: Path) -> None:
    stopping = {"monitor": "validation/robust_accuracy", "patience": 3}
    trained = run(digits, tmp_path, _adversarial(schedule={**SCHEDULE, "early_stopping": stopping}))
    assert trained.report["training"]["best_epoch"] is not None


def _entries(*accuracies: float) -> list[RadiusEntry]:
    radii = (0.0, 0.1, 0.2, 1.0)
    return [
        {"radius": radius, "loss": 1.0, "accuracy": accuracy, "interval": wilson_interval(accuracy, 200)}
        for radius, accuracy in zip(radii, accuracies, strict=True)
    ]


@pytest.mark.parametrize(
    ("accuracies", "count"),
    [((0.9, 0.6, 0.2, 0.0), 0), ((0.9, 0.3, 0.7, 0.0), 1), ((0.9, 0.8, 0.7, 0.6), 1), ((0.9, 0.5, 0.52, 0.1), 0)],
)
def test_masked_gradients_raise_an_alarm(accuracies: tuple[float, ...], count: int) -> None:
    warnings = masking_warnings(_entries(*accuracies), 1.0)
    assert len(warnings) == count
    assert all(warning.startswith("gradients are masked") for warning in warnings)
