import numpy as np
import pytest

from ml.data.rows import Rows
from ml.encoders.text import TextEncoder
from ml.errors import InputError
from ml.tasks._text import FEW_ROWS
from ml.tasks.classification.text_classification import TextClassification, TextClassificationConfig
from tests.support.ml import image_models

TEXTS = ["a good film", "a bad film", "这部电影很好", "这部电影不好"]
LABELS = ["positive", "negative"] * 2


def task() -> TextClassification:
    encoder = TextEncoder.learn(TEXTS * 10, {})
    return TextClassification(TextClassificationConfig(), {"text": encoder}, {"labels": ["negative", "positive"]})


@pytest.mark.parametrize(("rows", "are_few"), [(FEW_ROWS - 1, True), (FEW_ROWS, False)])
def test_few_texts_are_read_by_words(rows: int, are_few: bool) -> None:
    options = TextClassification.encoder_options(image_models.summary(splits={"train": rows}))
    assert options == ({"text": {"prefers_words": True}} if are_few else {})


def test_rows_become_tokens_and_codes() -> None:
    columns = task().encode(Rows({"text": TEXTS, "label": LABELS}))
    assert columns["label"].tolist() == [1, 0, 1, 0]
    arrays = task().collate(columns)
    assert set(arrays) == {"text", "text_mask", "label"}
    assert arrays["text"].shape == arrays["text_mask"].shape


def test_the_worst_errors_include_their_texts() -> None:
    subject = task()
    columns = subject.encode(Rows({"text": TEXTS, "label": LABELS}))
    # Correct for the first two; wrong with high confidence for the last, with less for the third.
    logits = np.array([[0, 3], [3, 0], [1, 0], [0, 5]], dtype=np.float32)
    evaluation = subject.evaluate({"logits": logits}, columns, train=columns)
    assert evaluation.metrics["accuracy"] == 0.5
    assert [error["text"] for error in evaluation.extra["errors"]] == ["这部电影不好", "这部电影很好"]
    assert [error["label"] for error in evaluation.extra["errors"]] == ["negative", "positive"]


def test_one_class_is_not_enough() -> None:
    summary = image_models.summary(columns={"text": "text", "label": "label"}, classes=["good"])
    assert (
        "text_classification needs at least two classes; the dataset has ['good']"
        in TextClassification.check_dataset(summary)
    )


def test_a_raw_body_is_a_text_in_utf_8() -> None:
    assert task().read("这部电影很好".encode(), parameters={}) == {"text": "这部电影很好"}
    with pytest.raises(InputError, match="UTF-8"):
        task().read("这部电影很好".encode("gb18030"), parameters={})
