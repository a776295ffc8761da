"""A graph in 8 bits is served where it is faster and keeps the metric; where not, it is left out, with the reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ml.data.dataset import Dataset
from ml.data.rows import Rows
from ml.inference.predictor import Predictor
from ml.learning.export import graph_selection, per_row_quantization
from ml.learning.export.quantization import CANDIDATES
from ml.package.package import ModelPackage
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

COLUMNS = {"text": "text"}
WIDE = {"name": "transformer", "config": {"preset": "small"}}


@pytest.fixture(scope="module", params=["int8_rows", "int8"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("wide")
    asked: dict[str, Any] = {"task": "text_classification", "architecture": WIDE}
    with pytest.MonkeyPatch.context() as patch:
        # Whether it pays is the machine's affair; here it is made, judged and served in any case.
        patch.setattr(graph_selection, "LEAST_GAIN", 0.0)
        patch.setattr(graph_selection, "SMALLEST_BYTES", 1)
        patch.setattr(graph_selection, "CANDIDATES", [each for each in CANDIDATES if each.name == request.param])
        return run(samples.path(COLUMNS), folder, spec("finetune", **asked)).package


def test_what_keeps_the_metric_is_served_with_its_report(package: ModelPackage) -> None:
    graph = package.manifest.graphs["model"]
    variant = graph.variant
    assert variant is not None
    assert variant.served
    assert graph.served_files == [variant.file] == [f"model.{variant.name}.onnx"]
    assert (variant.metric, variant.parity.rows) == ("accuracy", 10)
    assert variant.parity.max_abs_difference > 0
    smaller, larger = (package.file(name).stat().st_size for name in (variant.file, "model.onnx"))
    assert smaller < 0.8 * larger


def test_its_answers_lie_near_those_of_the_graph(package: ModelPackage) -> None:
    rows = Dataset.open(samples.path(COLUMNS)).rows("test")
    given = [{"text": row["text"]} for row in rows]
    plain = package.manifest.graphs["model"].model_copy(update={"variant": None})
    by_graph = ModelPackage(package.directory, package.manifest.model_copy(update={"graphs": {"model": plain}}))
    for one, other in zip(Predictor.load(package).predict(given), Predictor.load(by_graph).predict(given), strict=True):
        # Weights have 8 bits: a few parts in a hundred of the largest logit.
        assert one["confidence"] == pytest.approx(other["confidence"], abs=0.05)


def test_what_loses_the_metric_is_left_out_with_the_reason(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None
    int8 = CANDIDATES[0]

    def spoil(source: Path, target: Path, calls: Any) -> None:
        """As a network that 8 bits do not suit: whatever it reads, it answers the first class."""
        int8.write(source, target, calls)
        model = onnx.load(target)
        (bias,) = [each for each in model.graph.initializer if each.name.endswith("head.linear.bias")]
        values = numpy_helper.to_array(bias) + np.array([100, 0, 0], dtype=np.float32)
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        onnx.save(model, target)

    monkeypatch.setattr(graph_selection, "CANDIDATES", [replace(int8, write=spoil)])
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(graph_selection, "LEAST_GAIN", 0.0)
    texts = [row["text"] for row in Dataset.open(samples.path(COLUMNS)).rows("train")]
    # What the graph answers is taken as right, so that every other answer is a loss.
    right = [answer["label"] for answer in Predictor.load(package).predict([{"text": text} for text in texts])]
    assert right.count(samples.CLASSES[0]) < len(right) / 2
    rows = Rows({"text": texts, "label": right})
    found = graph_selection.with_variants(package.manifest.graphs, tmp_path, task=task, rows=rows)["model"]
    assert found.variant is not None
    assert not found.variant.served
    assert "noise allows" in found.variant.reason
    assert found.served_files == ["model.onnx"]
    assert not (tmp_path / f"model.{int8.name}.onnx").exists()


def test_a_way_that_fails_costs_no_model(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None

    def break_off(source: Path, target: Path, calls: Any) -> None:
        target.write_bytes(source.read_bytes()[:1000])

    monkeypatch.setattr(graph_selection, "CANDIDATES", [replace(CANDIDATES[0], write=break_off)])
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    plain = {"model": package.manifest.graphs["model"].model_copy(update={"variant": None})}
    rows = Dataset.open(samples.path(COLUMNS)).rows("train")
    assert graph_selection.with_variants(plain, tmp_path, task=task, rows=rows) == plain
    assert CANDIDATES[0].name in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_small_graphs_are_left_alone(tmp_path: Path) -> None:
    made = run(
        samples.path({"image": "image"}), tmp_path, spec("finetune", task="image_classification", architecture="cnn")
    )
    assert made.package.manifest.graphs["model"].variant is None
    assert [file.path for file in made.package.manifest.files if file.path.endswith(".onnx")] == ["model.onnx"]


def test_no_answer_changes_with_the_rows_beside_it(package: ModelPackage) -> None:
    given = [{"text": row["text"]} for row in Dataset.open(samples.path(COLUMNS)).rows("test")]
    predictor = Predictor.load(package)
    for together, alone in zip(predictor.predict(given), [predictor.predict([each])[0] for each in given], strict=True):
        # What is not in 8 bits is summed in another order when there are more rows, or longer ones.
        assert together["confidence"] == pytest.approx(alone["confidence"], abs=1e-5)


def test_the_fastest_that_keeps_the_metric_is_chosen_of_all_and_the_others_are_told(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(graph_selection, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(graph_selection, "METRIC_TOLERANCE", 10.0)
    monkeypatch.setattr(graph_selection, "MOST_APART", 10.0)
    rows = Dataset.open(samples.path(COLUMNS)).rows("test")
    plain = package.manifest.graphs["model"].model_copy(update={"variant": None})
    found = graph_selection.with_variants({"model": plain}, tmp_path, task=task, rows=rows)["model"]
    assert found.variant is not None
    assert {found.variant.name, *(each.name for each in found.other_variants)} == {each.name for each in CANDIDATES}
    assert [each.served for each in found.other_variants] == [False, False]
    assert all(each.speedup <= found.variant.speedup or "noise" in each.reason for each in found.other_variants)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", *found.served_files}


def test_convolutions_are_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(graph_selection, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(graph_selection, "CANDIDATES", [each for each in CANDIDATES if each.name == "int8_static"])
    asked: dict[str, Any] = {"architecture": {"name": "cnn", "config": {"preset": "small"}}}
    package = run(samples.path({"image": "image"}), tmp_path, spec("finetune", task="image_classification", **asked))
    (graph,) = package.package.manifest.graphs.values()
    assert graph.variant is not None
    assert graph.variant.batch_difference == pytest.approx(0, abs=1e-5)
    if graph.variant.served:
        nodes = onnx.load(package.package.file(graph.served_files[0])).graph.node
        assert sum(each.op_type == "QuantizeLinear" for each in nodes) > 2


def test_what_writes_is_judged_by_what_it_is_told_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(graph_selection, "LARGEST_SHARE", 10.0)
    monkeypatch.setattr(graph_selection, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(per_row_quantization, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(graph_selection, "CANDIDATES", CANDIDATES[:1])
    asked: dict[str, Any] = {"task": "text_generation", "architecture": "gpt", "encoders": {"text": {"max_length": 16}}}
    made = run(samples.path(COLUMNS), tmp_path, spec("finetune", **asked)).package
    (graph,) = made.manifest.graphs.values()
    assert graph.variant is not None
    assert graph.variant.metric == "loss"
    assert graph.variant.before == pytest.approx(graph.variant.after, rel=0.05)
    assert graph.variant.before != graph.variant.after
    assert graph.variant.batch_difference == pytest.approx(0, abs=1e-4)
    prompts = [{"prompt": each, "max_new_tokens": 5, "seed": 3} for each in ("a", "a long day")]
    predictor = Predictor.load(made)
    assert predictor.predict(prompts) == [predictor.predict([each])[0] for each in prompts]


def test_noise_is_how_much_a_difference_depends_on_single_rows(package: ModelPackage) -> None:
    task = package.task()
    assert task is not None
    random, rows = np.random.default_rng(0), 400
    columns: dict[str, Any] = {"label": np.zeros(rows, dtype=np.int64), "text": [np.array([5])] * rows}

    def judged(right: np.ndarray) -> graph_selection._Judged:
        outputs = {"logits": np.stack([right, ~right, np.zeros(rows)], axis=1).astype(np.float32)}
        return graph_selection._Judged(task.evaluate(outputs, columns, train=None), outputs, 1.0)

    one, other = random.random(rows) < 0.8, random.random(rows) < 0.8
    error = np.std(one.astype(float) - other) / rows**0.5
    # A loss is a mean, here larger by 1 for each row that is wrong. Ten groups tell its error to about a quarter.
    for metric, tolerance in {"accuracy": 0.01, "loss": 0.6}.items():
        noise = graph_selection._noise(task, metric, columns, judged(one), judged(other))
        assert noise == pytest.approx(error, rel=tolerance)
        assert graph_selection._noise(task, metric, columns, judged(one), judged(one)) == 0
