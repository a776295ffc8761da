"""Distillation: what a student learns, what is refused, and what its package omits."""

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
    training = spec("finetune", **TASK, schedule={"epochs": 3, "batch_size": 64, "precision": "float32"})
    return run(digits, tmp_path_factory.mktemp("teacher"), training).package


def _student(**config: Any) -> Any:
    return spec("finetune", **TASK, objective={"name": "distillation", "config": {"teacher": "teacher@1", **config}})


def test_a_student_is_an_ordinary_model_whose_manifest_names_its_teacher(
    digits: Path, tmp_path: Path, teacher: ModelPackage
) -> None:
    student = run(digits, tmp_path, _student(), models={PATH: teacher.directory})
    plain = run(digits, tmp_path / "plain", spec("finetune", **TASK))
    manifest = student.package.manifest
    assert load_file(student.package.file(WEIGHTS)).keys() == load_file(plain.package.file(WEIGHTS)).keys()
    assert manifest.parameters == plain.package.manifest.parameters
    assert manifest.source.models == {PATH: digest(teacher.directory / MANIFEST)}
    assert manifest.source.spec is not None
    assert manifest.source.spec["objective"]["config"]["teacher"] == "teacher@1"
    assert 0 <= student.metrics["validation/agreement"] <= 1
    assert student.metrics["test/accuracy"] > 0.1


def test_a_student_uses_the_encoders_of_its_teacher(digits: Path, tmp_path: Path) -> None:
    small = spec("finetune", **TASK, encoders={"image": {"height": 6, "width": 6}})
    teacher = run(digits, tmp_path / "teacher", small).package
    student = run(digits, tmp_path / "student", _student(), models={PATH: teacher.directory}).package
    assert student.manifest.encoders == teacher.manifest.encoders


def test_a_base_model_with_other_encoders_is_refused(digits: Path, tmp_path: Path, teacher: ModelPackage) -> None:
    small = {"image": {"height": 6, "width": 6}}
    base = run(
        digits, tmp_path / "base", spec("pretrain", objective="contrastive_views", architecture="cnn", encoders=small)
    )
    training = spec(
        "finetune",
        task="image_classification",
        start_from="base",
        objective={"name": "distillation", "config": {"teacher": "teacher"}},
    )
    with pytest.raises(SpecError, match="has another encoders/image"):
        run(digits, tmp_path, training, start_from=base.package.directory, models={PATH: teacher.directory})


def test_a_teacher_of_another_task_or_of_other_labels_is_refused(
    digits: Path, tmp_path: Path, teacher: ModelPackage
) -> None:
    base = run(digits, tmp_path / "base", spec("pretrain", objective="contrastive_views", architecture="cnn")).package
    with pytest.raises(SpecError, match="the model is for embeddings only, not for image_classification"):
        run(digits, tmp_path, _student(), models={PATH: base.directory})
    relabeled = tmp_path / "relabeled"
    relabeled.mkdir()
    for path in teacher.directory.rglob("*"):
        if path.is_file():
            (relabeled / path.relative_to(teacher.directory)).parent.mkdir(parents=True, exist_ok=True)
            (relabeled / path.relative_to(teacher.directory)).write_bytes(path.read_bytes())
    manifest = teacher.manifest.model_copy(update={"labels": [*"1023456789"]})
    (relabeled / MANIFEST).write_text(manifest.model_dump_json())
    with pytest.raises(SpecError, match="labels of the model differ from those of the dataset, or are in another"):
        run(digits, tmp_path, _student(), models={PATH: relabeled})
    with pytest.raises(SpecError, match=r"the package of objective\.config\.teacher is missing"):
        run(digits, tmp_path, _student())


def test_an_interrupted_run_ends_with_the_same_weights(digits: Path, tmp_path: Path, teacher: ModelPackage) -> None:
    training = _student().model_copy(update={"schedule": spec("finetune", **TASK, schedule={"epochs": 2}).schedule})
    whole = run(digits, tmp_path / "whole", training, models={PATH: teacher.directory}).package
    steps: list[Progress] = []
    requests = iter([None] * 5)
    with pytest.raises(TrainingInterrupted):
        run(
            digits,
            tmp_path / "interrupted",
            training,
            models={PATH: teacher.directory},
            reports=steps,
            should_stop=lambda: next(requests, Stop.LEAVE),
        )
    resumed = run(digits, tmp_path / "interrupted", training, models={PATH: teacher.directory}).package
    assert digest(resumed.file(WEIGHTS)) == digest(whole.file(WEIGHTS))


def test_the_divergence_equals_its_formula() -> None:
    teacher = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    student = torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    p, q = (teacher / 3).softmax(dim=1), (student / 3).softmax(dim=1)
    expected = (p * (p / q).log()).sum(dim=1).mean() * 9
    torch.testing.assert_close(softened_divergence(teacher, student, temperature=3.0), expected)
    # At high temperatures it approaches half the mean squared difference of the centered logits (equation 4).
    centered = [logits - logits.mean(dim=1, keepdim=True) for logits in (teacher, student)]
    limit = (centered[0] - centered[1]).square().sum(dim=1).mean() / (2 * 3)
    torch.testing.assert_close(softened_divergence(teacher, student, temperature=1e3), limit, rtol=2e-3, atol=0)
