"""A student learns from a registered model: what it learns, what is refused, and what stays out of its package."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ml.errors import SpecError, TrainingInterrupted
from ml.learning.nn.objectives.distillation import softened_divergence
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import run, spec

TASK = {"task": "image_classification", "architecture": "cnn"}
PATH = "objective.config.teacher"


@pytest.fixture(scope="module")
def teacher(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    wanted = spec("finetune", **TASK, schedule={"epochs": 3, "batch_size": 64, "precision": "float32"})
    return run(digits, tmp_path_factory.mktemp("teacher"), wanted).package


def _student(**config: Any) -> Any:
    return spec("finetune", **TASK, objective={"name": "distillation", "config": {"teacher": "teacher@1", **config}})


def test_a_student_is_a_model_like_any_other_and_says_whom_it_learned_from(
    digits: Path, tmp_path: Path, teacher: ModelPackage
) -> None:
    made = run(digits, tmp_path, _student(), models={PATH: teacher.directory})
    plain = run(digits, tmp_path / "plain", spec("finetune", **TASK))
    manifest = made.package.manifest
    assert load_file(made.package.file(WEIGHTS)).keys() == load_file(plain.package.file(WEIGHTS)).keys()
    assert manifest.parameters == plain.package.manifest.parameters
    assert manifest.source.models == {PATH: digest(teacher.directory / MANIFEST)}
    assert manifest.source.spec is not None
    assert manifest.source.spec["objective"]["config"]["teacher"] == "teacher@1"
    assert 0 <= made.metrics["validation/agreement"] <= 1
    assert made.metrics["test/accuracy"] > 0.1


def test_it_reads_as_its_teacher_does(digits: Path, tmp_path: Path) -> None:
    small = spec("finetune", **TASK, encoders={"image": {"height": 6, "width": 6}})
    taught = run(digits, tmp_path / "teacher", small).package
    made = run(digits, tmp_path / "student", _student(), models={PATH: taught.directory})
    assert made.package.manifest.encoders == taught.manifest.encoders


def test_a_base_model_that_reads_otherwise_is_refused(digits: Path, tmp_path: Path, teacher: ModelPackage) -> None:
    small = {"image": {"height": 6, "width": 6}}
    base = run(
        digits, tmp_path / "base", spec("pretrain", objective="contrastive_views", architecture="cnn", encoders=small)
    )
    wanted = spec(
        "finetune",
        task="image_classification",
        start_from="base",
        objective={"name": "distillation", "config": {"teacher": "teacher"}},
    )
    with pytest.raises(SpecError, match="reads with another encoders/image"):
        run(digits, tmp_path, wanted, start_from=base.package.directory, models={PATH: teacher.directory})


def test_a_teacher_of_another_task_or_of_other_labels_is_refused(
    digits: Path, tmp_path: Path, teacher: ModelPackage
) -> None:
    base = run(digits, tmp_path / "base", spec("pretrain", objective="contrastive_views", architecture="cnn")).package
    with pytest.raises(SpecError, match="the model is for embeddings only, not for image_classification"):
        run(digits, tmp_path, _student(), models={PATH: base.directory})
    turned = tmp_path / "turned"
    turned.mkdir()
    for path in teacher.directory.rglob("*"):
        if path.is_file():
            (turned / path.relative_to(teacher.directory)).parent.mkdir(parents=True, exist_ok=True)
            (turned / path.relative_to(teacher.directory)).write_bytes(path.read_bytes())
    other = teacher.manifest.model_copy(update={"labels": [*"1023456789"]})
    (turned / MANIFEST).write_text(other.model_dump_json())
    with pytest.raises(SpecError, match="other labels apart than the dataset has, or in another order"):
        run(digits, tmp_path, _student(), models={PATH: turned})
    with pytest.raises(SpecError, match=r"the package of objective\.config\.teacher was not given"):
        run(digits, tmp_path, _student())


def test_a_run_that_was_interrupted_ends_with_the_same_weights(
    digits: Path, tmp_path: Path, teacher: ModelPackage
) -> None:
    wanted = _student().model_copy(update={"schedule": spec("finetune", **TASK, schedule={"epochs": 2}).schedule})
    whole = run(digits, tmp_path / "whole", wanted, models={PATH: teacher.directory}).package
    steps: list[Progress] = []
    asked = iter([None] * 5)
    with pytest.raises(TrainingInterrupted):
        run(
            digits,
            tmp_path / "cut",
            wanted,
            models={PATH: teacher.directory},
            told=steps,
            should_stop=lambda: next(asked, Stop.LEAVE),
        )
    resumed = run(digits, tmp_path / "cut", wanted, models={PATH: teacher.directory}).package
    assert digest(resumed.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_the_divergence_is_what_its_formula_says() -> None:
    taught = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    learned = torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    p, q = (taught / 3).softmax(dim=1), (learned / 3).softmax(dim=1)
    expected = (p * (p / q).log()).sum(dim=1).mean() * 9
    torch.testing.assert_close(softened_divergence(taught, learned, temperature=3.0), expected)
    # At high temperatures it comes to half the mean squared difference of the centred logits (equation 4).
    centred = [each - each.mean(dim=1, keepdim=True) for each in (taught, learned)]
    limit = (centred[0] - centred[1]).square().sum(dim=1).mean() / (2 * 3)
    torch.testing.assert_close(softened_divergence(taught, learned, temperature=1e3), limit, rtol=2e-3, atol=0)
