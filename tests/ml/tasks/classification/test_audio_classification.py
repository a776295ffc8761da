from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ml.data.files.audio import decode
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import DataError, InputError
from ml.tasks.classification.audio_classification import AudioClassification, AudioClassificationConfig
from tests.support.ml import samples

CLASSES = ("dog", "door", "rain")
COLUMNS = {"audio": "audio", "label": "label"}
CLIPS = [decode(data) for data in samples.VALUES["audio"](6)]


def make_task(**config: Any) -> AudioClassification:
    data = samples.dataset(COLUMNS)
    options = AudioClassification.encoder_options(data.summary)["audio"]
    encoder = ENCODERS["log_mel"].learn(CLIPS, options)
    settings = AudioClassificationConfig(**config)
    state = {**AudioClassification.learn(settings, data.summary, data.rows("train")), "labels": list(CLASSES)}
    return AudioClassification(settings, {"audio": encoder}, state)


def make_rows(*labels: str) -> Rows:
    return Rows({"audio": CLIPS[: len(labels)], "label": list(labels)})


def test_frames_are_single_and_a_hundred_a_second() -> None:
    columns = make_task().encode(make_rows("dog", "rain"))
    batch = make_task().collate(columns)
    assert batch["audio"].shape[2] == 40
    assert batch["audio_mask"].sum(axis=1).tolist() == [len(clip) for clip in columns["audio"]]
    assert batch["label"].tolist() == [0, 2]


def test_few_clips_are_augmented_by_default_and_labels_stay() -> None:
    columns = make_task().encode(make_rows("dog", "rain"))
    varied = make_task().augment(columns, np.random.default_rng(0))
    assert varied["label"] is columns["label"]
    assert all(a.shape != b.shape or (a != b).any() for a, b in zip(varied["audio"], columns["audio"], strict=True))
    plain = make_task(augmentation="off").augment(columns, np.random.default_rng(0))
    assert all(a is b for a, b in zip(plain["audio"], columns["audio"], strict=True))


def test_one_class_is_refused() -> None:
    summary = samples.dataset(COLUMNS).summary.model_copy(update={"classes": ["dog"]})
    (reason,) = AudioClassification.check_dataset(summary)
    assert reason == "audio_classification needs at least two classes; the dataset has ['dog']"


def test_a_dataset_without_labels_is_refused() -> None:
    columns = {"audio": "audio"}
    summary = samples.dataset(COLUMNS).summary.model_copy(update={"columns": columns, "classes": None})
    assert any("needs a column 'label'" in reason for reason in AudioClassification.check_dataset(summary))


def test_an_error_names_a_label_that_is_not_in_the_training_data() -> None:
    with pytest.raises(DataError, match="'cat'"):
        make_task().encode(make_rows("dog", "cat"))


def test_a_body_that_is_not_audio_is_refused() -> None:
    with pytest.raises(InputError, match="not an audio file"):
        make_task().read(b"plain text, not audio", parameters={})


def test_evaluation_has_confusions_and_metrics_of_each_class() -> None:
    columns = make_task().encode(make_rows("dog", "rain", "dog"))
    logits = np.eye(3)[[0, 1, 0]] * 9

    evaluation = make_task().evaluate({"logits": logits}, columns, train=columns)

    assert evaluation.metrics["accuracy"] == pytest.approx(2 / 3)
    assert evaluation.extra["confusion_matrix"] == [[2, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert [row["label"] for row in evaluation.extra["per_class"]] == list(CLASSES)


@pytest.mark.parametrize("config", [{"loss": "hinge"}, {"dropout": 1}, {"augmentation": "loud"}])
def test_a_wrong_option_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_task(**config)
