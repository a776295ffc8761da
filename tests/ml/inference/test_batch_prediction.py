"""Predictions of stored rows are those of single requests, in order."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.rows import Rows
from ml.errors import InputError
from ml.inference import batch_prediction
from ml.inference.batch_prediction import BatchPredictor, RowResult
from ml.inference.predictor import Predictor
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from tests.support.ml import image_models, packages, samples


def load(task: str, folder: Path) -> Predictor:
    packages.make_untrained(task, folder / task)
    return Predictor.load(ModelPackage.open(folder / task))


def collect(predictor: Predictor, rows: Rows, *, start: int = 0, **parameters: Any) -> list[RowResult]:
    batches = BatchPredictor(predictor, parameters).predict(rows, start=start)
    return [result for batch in batches for result in batch]


def assert_alike(output: Any, expected: Any) -> None:
    """Compare outputs.

    Numbers may differ in the last bits of float32, as batches are padded and summed in another order.
    """
    if isinstance(expected, dict):
        assert output.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(output[name], value)
    elif isinstance(expected, float):
        assert output == pytest.approx(expected, rel=1e-3, abs=1e-5)
    elif not isinstance(expected, list):
        assert output == expected


@pytest.mark.parametrize(
    "task", ["text_classification", "tabular_classification", "tabular_regression", "recommendation"]
)
def test_rows_get_the_outputs_of_requests(task: str, tmp_path: Path) -> None:
    predictor = load(task, tmp_path)
    rows = samples.dataset(samples.columns_read_by(TASKS[task])).rows("train")
    requests = [TASKS[task].to_input_and_target(row)[0] for row in rows]

    results = collect(predictor, rows)

    assert [result.index for result in results] == list(range(len(rows)))
    for result, expected in zip(results, predictor.predict(requests), strict=True):
        assert result.error is None
        assert_alike(result.output, expected)


def test_a_start_in_the_middle_gives_the_rest(tmp_path: Path) -> None:
    predictor, rows = (
        load("text_classification", tmp_path),
        samples.dataset({"text": "text", "label": "label"}).rows("train"),
    )
    whole = collect(predictor, rows)

    for start in (1, len(rows) - 1, len(rows)):
        rest = collect(predictor, rows, start=start)
        assert [result.index for result in rest] == list(range(start, len(rows)))
        for result, expected in zip(rest, whole[start:], strict=True):
            assert_alike(result.output, expected.output)


def test_parameters_are_those_of_predict(tmp_path: Path) -> None:
    predictor, rows = (
        load("text_classification", tmp_path),
        samples.dataset({"text": "text", "label": "label"}).rows("train"),
    )

    embeddings = collect(predictor, rows, **{"return": "embedding"})
    windows = collect(predictor, rows, long_texts="windows")

    assert all(result.output is not None and "embedding" in result.output for result in embeddings)
    assert [result.output["label"] for result in windows if result.output] == [
        output["label"] for output in predictor.predict([{"text": row["text"]} for row in rows])
    ]
    with pytest.raises(InputError, match="no parameter named 'speed'"):
        BatchPredictor(predictor, {"speed": 2})


def test_rows_that_cannot_be_read_have_an_error_and_the_others_an_output(tmp_path: Path) -> None:
    predictor = load("speech_synthesis", tmp_path)
    texts = [row["text"] for row in samples.dataset(samples.columns_read_by(TASKS["speech_synthesis"])).rows("train")][
        :5
    ]
    audio = samples.dataset(samples.columns_read_by(TASKS["speech_synthesis"])).rows("train").columns["audio"]
    texts[3] = "漢字"

    results = collect(predictor, Rows({"text": texts, "audio": [audio[row] for row in range(5)]}))

    assert [result.error is None for result in results] == [True, True, True, False, True]
    assert [result.output is None for result in results] == [False, False, False, True, False]
    assert results[3].error is not None
    assert "漢" in results[3].error["message"]


def test_a_row_that_spoils_its_batch_is_the_only_one_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(image_models.package(tmp_path))
    rows = Rows({"image": [row["image"] for row in image_models.rows(40)]})
    answer, bad = predictor.answer, rows[21]["image"]

    def refuse_one(batch: Any, *, output: str | None) -> Any:
        if any(image is bad for image in batch.columns["image"]):
            raise InputError("cannot be read")
        return answer(batch, output=output)

    monkeypatch.setattr(predictor, "answer", refuse_one)
    results = collect(predictor, rows)

    assert [result.index for result in results if result.error is not None] == [21]
    assert [result.index for result in results] == list(range(40))


def test_batches_hold_a_limited_number_of_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(image_models.package(tmp_path))
    rows = Rows({"image": [row["image"] for row in image_models.rows(100)]})
    row_bytes = rows[0]["image"].nbytes
    monkeypatch.setattr(batch_prediction, "BATCH_BYTES", 30 * row_bytes)

    sizes = [len(batch) for batch in BatchPredictor(predictor, {}).predict(rows)]

    assert sizes == [16, 30, 30, 24]
