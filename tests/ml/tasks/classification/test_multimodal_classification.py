"""Multimodal classification: parts that are missing, their fusion, and a base model for each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset
from ml.data.files import images
from ml.data.rows import Rows
from ml.encoders import ENCODERS
from ml.errors import InputError, SpecError
from ml.inference.batch_prediction import BatchPredictor
from ml.inference.predictor import Predictor
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.package import ModelPackage
from ml.tasks import TASKS
from ml.tasks.classification.multimodal_classification import MultimodalClassification
from ml.wire import ImageInput
from tests.support.ml import dataset_files, samples
from tests.support.ml.digits import run, spec

TASK = "multimodal_classification"
PNG = ImageInput.make_example().image
TINY: dict[str, Any] = {
    slot: {"name": name, "config": ARCHITECTURES[name].tiny().model_dump(mode="json")}
    for slot, name in (("image", "cnn"), ("text", "text_cnn"), ("audio", "audio_cnn"), ("features", "tabular_mlp"))
}
COUNT = 240


def make_image(is_bright: bool, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 60, (8, 8, 1))
    return images.encode_png((noise + (180 if is_bright else 10)).astype(np.uint8))


def write(folder: Path, *, missing: bool = True) -> Path:
    """Write rows whose image and text say half of the label each."""
    lines, members = ["file_name,text,label"], []
    for row in range(COUNT):
        is_bright, wish = row % 2 == 0, ("repair", "return")[row // 2 % 2]
        members.append((f"{row}.png", make_image(is_bright, row)))
        cells = [f"{row}.png", f"please {wish} it {row}"]
        if missing and row % 12 == 0:
            cells[row // 12 % 2] = ""
        lines.append(",".join([*cells, f"{wish} {'bright' if is_bright else 'dark'}"]))
    table = "\n".join([*lines, ""]).encode()
    archive = dataset_files.make_zip([("metadata.csv", table), *members])
    report = dataset_files.upload(folder, {"a.zip": archive}, task=TASK, tasks=TASKS)
    assert report.state == "ready", report.errors
    return folder / "dataset"


@pytest.fixture(scope="module", params=["gated_sum", "transformer"])
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    task = {"name": TASK, "config": {"fusion": request.param, "image_augmentation": "off"}}
    schedule = {"epochs": 25, "batch_size": 32, "precision": "float32"}
    return run(write(folder), folder, spec("finetune", task=task, schedule=schedule))


def test_both_parts_together_say_what_neither_says_alone(result: Any) -> None:
    parts = result.report["parts"]

    # Some of the 24 rows lack a part, and the other says half of the label.
    assert result.report["metrics"]["accuracy"] > 0.75
    assert list(parts) == ["image", "text"]
    for section in parts.values():
        # Either part says one of two halves of the label.
        assert section["accuracy"] < 0.75
        assert section["accuracy_of_all"] > section["accuracy"]
        assert section["rows"] < result.report["rows"]


def test_any_part_alone_is_answered_with_less_confidence(result: Any) -> None:
    predictor = Predictor.load(result.package)
    image = make_image(True, 1000)
    both, seen, read = predictor.predict(
        [{"image": image, "text": "please repair it"}, {"image": image}, {"text": "please repair it"}]
    )

    assert both["label"] == "repair bright"
    assert seen["label"].endswith("bright")
    assert read["label"].startswith("repair")
    assert max(seen["confidence"], read["confidence"]) < both["confidence"]


def test_a_row_gets_the_same_answer_alone_and_beside_rows_with_other_parts(result: Any) -> None:
    predictor = Predictor.load(result.package)
    inputs = [{"image": make_image(False, 7)}, {"text": "return it"}, {"image": PNG, "text": "repair it please"}]
    for raw_input, batched in zip(inputs, predictor.predict(inputs), strict=True):
        (alone,) = predictor.predict([raw_input])
        assert batched["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-4)


def test_a_stored_row_without_a_part_that_the_model_reads_has_an_error(result: Any) -> None:
    predictor = Predictor.load(result.package)
    image = images.read(make_image(True, 7), max_pixels=100).pixels
    columns = {"image": [image, None, image], "text": ["repair it", None, None], "features": [None, {"age": 3}, None]}

    (results,) = BatchPredictor(predictor, {}).predict(Rows(columns))

    assert [answer.index for answer in results if answer.error] == [1]
    assert "at least one of image, text" in str(results[1].error)
    expected = predictor.predict([{"image": make_image(True, 7)}])[0]
    assert results[2].output["label"] == expected["label"]


def test_the_graph_equals_the_network(result: Any) -> None:
    (graph,) = result.package.manifest.graphs.values()

    assert set(graph.inputs) == {"image", "image_present", "text", "text_mask", "text_present"}
    assert graph.parity.labels_changed == 0
    assert {"logits", "part_logits", "embedding"} == set(graph.outputs)


def test_the_embedding_of_a_missing_part_is_zero(result: Any) -> None:
    predictor = Predictor.load(result.package)
    both, seen = predictor.predict([{"image": PNG, "text": "a"}, {"image": PNG}], parameters={"return": "embedding"})
    width = sum(value == 0 for value in seen["embedding"])

    assert 0 < width < len(seen["embedding"])
    assert both["embedding"] != seen["embedding"]


@pytest.mark.parametrize(
    ("raw_input", "message"),
    [
        ({}, "at least one part"),
        ({"record": {"a": 1}}, "it has no record"),
        ({"audio": "UklGRg=="}, "it has no audio"),
        ({"image": PNG, "pixels": [[1]]}, "either image or pixels"),
        ({"words": "a"}, "unknown field"),
    ],
)
def test_wrong_inputs_are_refused_with_the_reason(result: Any, raw_input: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Predictor.load(result.package).predict([raw_input])


def test_the_schema_has_only_the_parts_of_the_model(result: Any) -> None:
    task = result.package.task()

    assert set(task.input_schema()["properties"]) == {"image", "pixels", "text"}
    assert task.example_input().parts == ("image", "text")


def test_each_part_may_start_from_a_base_model_of_its_own(tmp_path: Path) -> None:
    data = samples.path(samples.columns_read_by(MultimodalClassification))
    bases = {}
    for slot, task in (("image", "image_classification"), ("features", "tabular_classification")):
        (tmp_path / slot).mkdir()
        single = spec("finetune", task=task, architectures={slot: TINY[slot]})
        bases[slot] = run(data, tmp_path / slot, single).package.directory
    others = {slot: TINY[slot] for slot in ("text", "audio")}
    joined = spec("finetune", task=TASK, start_from={slot: slot for slot in bases}, architectures=others)
    (tmp_path / "joined").mkdir()
    report = run(data, tmp_path / "joined", joined, start_from=bases).report

    loaded = report["transfer"]["loaded"]
    assert {name.split(".")[1] for name in loaded if name.startswith("backbones.")} == set(bases)


def test_the_parts_to_read_may_be_named(tmp_path: Path) -> None:
    data = samples.path(samples.columns_read_by(MultimodalClassification))
    task = {"name": TASK, "config": {"parts": ["image", "features"]}}
    architectures = {slot: TINY[slot] for slot in ("image", "features")}
    package = run(data, tmp_path, spec("finetune", task=task, architectures=architectures)).package

    assert set(package.manifest.architectures) == {"image", "features"}
    output = Predictor.load(ModelPackage.open(package.directory)).predict([{"record": {"length": 5.1}}])[0]
    assert output["label"] in samples.CLASSES


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["image", "audio"], "the dataset has no audio; it has image, text"),
        (["text", "text"], "parts names text, text; name at least 2 different ones"),
    ],
)
def test_named_parts_that_the_dataset_lacks_or_that_are_one_are_refused(
    tmp_path: Path, parts: list[str], message: str
) -> None:
    task = {"name": TASK, "config": {"parts": parts}}
    with pytest.raises(SpecError, match=message):
        run(write(tmp_path), tmp_path, spec("finetune", task=task))


def test_training_never_hides_the_last_part_of_a_row(tmp_path: Path) -> None:
    rows = Dataset.open(write(tmp_path)).rows("train")
    summary = Dataset.open(tmp_path / "dataset").summary
    config = MultimodalClassification.config_type(part_dropout=0.9)
    state = MultimodalClassification.learn(config, summary, rows)
    options = MultimodalClassification.encoder_options(summary)
    present_rows = {"image": [row["image"] for row in rows if row["image"] is not None]}
    encoders = {
        "image": ENCODERS["image"].learn(present_rows["image"], options["image"]),
        "text": ENCODERS["text"].learn([row["text"] for row in rows if row["text"] is not None], options["text"]),
    }
    task = MultimodalClassification(config, encoders, state)
    columns = task.encode(rows)
    augmented = task.augment(columns, np.random.default_rng(0))
    before = np.stack([columns[f"{slot}_present"] for slot in encoders], axis=1)
    after = np.stack([augmented[f"{slot}_present"] for slot in encoders], axis=1)

    assert not before.all()
    assert after.any(axis=1).all()
    assert not (after & ~before).any()
    assert after.sum() < before.sum()
