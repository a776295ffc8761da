"""Folds of the training rows calibrate a classifier of few rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.errors import SpecError, TrainingInterrupted
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.pipeline import train
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.package import WEIGHTS
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

CLASSIFY = {"task": "image_classification", "architecture": "cnn"}
#: The dataset has 1,293 training rows and 144 validation rows.
ROWS = 1_437


def test_folds_fit_the_temperature_to_all_rows_and_change_no_weight(digits: Path, tmp_path: Path) -> None:
    plain = run(digits, tmp_path / "plain", spec("finetune", **CLASSIFY))
    request = spec("finetune", **CLASSIFY, calibration_folds=2)
    reports: list[Progress] = []

    def leave() -> Stop | None:
        return Stop.LEAVE if reports and reports[-1].message == "calibration: fold 2 of 2" else None

    with pytest.raises(TrainingInterrupted):
        run(digits, tmp_path / "folds", request, reports=reports, should_stop=leave)
    folded = run(digits, tmp_path / "folds", request)
    whole = run(digits, tmp_path / "whole", request)
    assert len({digest(result.package.file(WEIGHTS)) for result in (plain, folded, whole)}) == 1
    section, before = folded.report["calibration"], plain.report["calibration"]
    assert (section["fitted_rows"], before["fitted_rows"]) == (ROWS, ROWS // 10)
    # A run that was interrupted within a fold ends as one that was not.
    assert section["temperature"] == whole.report["calibration"]["temperature"]
    assert section["temperature"] != before["temperature"]
    # Sets of labels rest on rows that no network of the folds has chosen.
    assert section["before"] == before["before"]
    task = folded.package.task()
    assert task is not None
    assert task.calibration is not None
    assert task.calibration.rows == ROWS // 10


def test_folds_of_a_head_on_a_frozen_backbone_are_those_of_the_whole_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = ARCHITECTURES["bert"].tiny().model_dump(mode="json")
    pretraining = spec("pretrain", objective="masked_language_modeling", architecture={"name": "bert", "config": tiny})
    base = run(samples.path({"text": "text"}), tmp_path / "base", pretraining).package
    data = samples.path({"text": "text", "label": "label"})
    fields = {"task": "text_classification", "start_from": "base", "tuning": "head_only", "calibration_folds": 3}
    # Some epochs, so that heads differ by their rows.
    request = spec("finetune", **fields, schedule={"epochs": 4, "batch_size": 4, "precision": "float32"})
    by_features = run(data, tmp_path / "features", request, start_from=base.directory)
    monkeypatch.setattr(train._Run, "_freeze", lambda *_: None)
    whole = run(data, tmp_path / "whole", request, start_from=base.directory)
    assert digest(by_features.package.file(WEIGHTS)) == digest(whole.package.file(WEIGHTS))
    sections = [result.report["calibration"] for result in (by_features, whole)]
    assert sections[0]["fitted_rows"] == sections[1]["fitted_rows"]
    # Texts are padded to other lengths, which changes the last bits of features.
    assert sections[0]["temperature"] == pytest.approx(sections[1]["temperature"], rel=1e-3)
    assert sections[0]["temperature"] != 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": "image_generation", "architecture": "vae"}, "no probabilities of classes"),
        ({**CLASSIFY, "sizes": [1, 0.5]}, "one size alone"),
    ],
)
def test_folds_are_refused_where_they_calibrate_nothing(
    digits: Path, tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        run(digits, tmp_path, spec("finetune", **fields, calibration_folds=2))
