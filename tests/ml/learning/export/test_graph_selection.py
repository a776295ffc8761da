"""Choice of quantized graphs: faster ones that keep the metric are served."""

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
    # Pieces of words: random labels of whole words would be learned less evenly.
    encoders = {"text": {"kind": "byte_bpe", "min_frequency": 5}}
    fields: dict[str, Any] = {"task": "text_classification", "architecture": WIDE, "encoders": encoders}
    with pytest.MonkeyPatch.context() as patch:
        # Whether it pays depends on the machine; here it is quantized, measured and served in any case.
        patch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
        patch.setattr(graph_selection, "MIN_BYTES", 1)
        patch.setattr(
            graph_selection, "CANDIDATES", [candidate for candidate in CANDIDATES if candidate.name == request.param]
        )
        return run(samples.path(COLUMNS), folder, spec("finetune", **fields)).package


def test_a_variant_that_keeps_the_metric_is_served(package: ModelPackage) -> None:
    graph = package.manifest.graphs["model"]
    variant = graph.variant
    assert variant is not None
    assert variant.served
    assert graph.served_files == [variant.file] == [f"model.{variant.name}.onnx"]
    assert (variant.metric, variant.parity.rows) == ("accuracy", 10)
    assert variant.parity.max_abs_difference > 0
    smaller, larger = (package.file(name).stat().st_size for name in (variant.file, "model.onnx"))
    assert smaller < 0.8 * larger


def test_its_outputs_are_close_to_those_of_the_graph(package: ModelPackage) -> None:
    rows = Dataset.open(samples.path(COLUMNS)).rows("test")
    inputs = [{"text": row["text"]} for row in rows]
    plain = package.manifest.graphs["model"].model_copy(update={"variant": None})
    by_graph = ModelPackage(package.directory, package.manifest.model_copy(update={"graphs": {"model": plain}}))
    predictions = (Predictor.load(served).predict(inputs) for served in (package, by_graph))
    for quantized, exact in zip(*predictions, strict=True):
        # 8 bits of a weight are a few percent of the largest logit.
        assert quantized["confidence"] == pytest.approx(exact["confidence"], abs=0.05)


def test_a_variant_that_loses_the_metric_is_rejected_with_a_reason(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None
    int8 = CANDIDATES[0]

    def spoil(source: Path, target: Path, calls: Any) -> None:
        """Write a graph that predicts the first class for every input."""
        int8.write(source, target, calls)
        model = onnx.load(target)
        (bias,) = [tensor for tensor in model.graph.initializer if tensor.name.endswith("head.linear.bias")]
        values = numpy_helper.to_array(bias) + np.array([100, 0, 0], dtype=np.float32)
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        onnx.save(model, target)

    monkeypatch.setattr(graph_selection, "CANDIDATES", [replace(int8, write=spoil)])
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    monkeypatch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
    texts = [row["text"] for row in Dataset.open(samples.path(COLUMNS)).rows("train")]
    # The predictions of the graph are the labels, so that each other prediction is a loss.
    labels = [output["label"] for output in Predictor.load(package).predict([{"text": text} for text in texts])]
    assert labels.count(samples.CLASSES[0]) < len(labels) / 2
    rows = Rows({"text": texts, "label": labels})
    graph = graph_selection.add_variants(package.manifest.graphs, tmp_path, task=task, rows=rows)["model"]
    assert graph.variant is not None
    assert not graph.variant.served
    assert "noise allows" in graph.variant.reason
    assert graph.served_files == ["model.onnx"]
    assert not (tmp_path / f"model.{int8.name}.onnx").exists()


def test_a_candidate_that_fails_leaves_the_graph(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None

    def truncate(source: Path, target: Path, calls: Any) -> None:
        target.write_bytes(source.read_bytes()[:1000])

    monkeypatch.setattr(graph_selection, "CANDIDATES", [replace(CANDIDATES[0], write=truncate)])
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    plain = {"model": package.manifest.graphs["model"].model_copy(update={"variant": None})}
    rows = Dataset.open(samples.path(COLUMNS)).rows("train")
    assert graph_selection.add_variants(plain, tmp_path, task=task, rows=rows) == plain
    assert CANDIDATES[0].name in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_small_graphs_are_not_quantized(tmp_path: Path) -> None:
    result = run(
        samples.path({"image": "image"}), tmp_path, spec("finetune", task="image_classification", architecture="cnn")
    )
    assert result.package.manifest.graphs["model"].variant is None
    assert [file.path for file in result.package.manifest.files if file.path.endswith(".onnx")] == ["model.onnx"]


def test_no_output_changes_with_the_other_rows_of_its_batch(package: ModelPackage) -> None:
    inputs = [{"text": row["text"]} for row in Dataset.open(samples.path(COLUMNS)).rows("test")]
    predictor = Predictor.load(package)
    single = [predictor.predict([raw_input])[0] for raw_input in inputs]
    for batched, alone in zip(predictor.predict(inputs), single, strict=True):
        # Sums that are not in 8 bits have another order with more rows, or longer ones.
        assert batched["confidence"] == pytest.approx(alone["confidence"], abs=1e-5)


def test_the_fastest_variant_that_keeps_the_metric_is_served_and_the_others_are_listed(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(package.file("model.onnx").read_bytes())
    task = package.task()
    assert task is not None
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    monkeypatch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
    monkeypatch.setattr(graph_selection, "METRIC_TOLERANCE", 10.0)
    monkeypatch.setattr(graph_selection, "MAX_BATCH_DIFFERENCE", 10.0)
    rows = Dataset.open(samples.path(COLUMNS)).rows("test")
    plain = package.manifest.graphs["model"].model_copy(update={"variant": None})
    graph = graph_selection.add_variants({"model": plain}, tmp_path, task=task, rows=rows)["model"]
    assert graph.variant is not None
    assert {graph.variant.name, *(variant.name for variant in graph.other_variants)} == {
        candidate.name for candidate in CANDIDATES
    }
    assert [variant.served for variant in graph.other_variants] == [False, False]
    for variant in graph.other_variants:
        assert variant.speedup <= graph.variant.speedup or "noise" in variant.reason
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", *graph.served_files}


def test_convolutions_are_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    monkeypatch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
    monkeypatch.setattr(
        graph_selection, "CANDIDATES", [candidate for candidate in CANDIDATES if candidate.name == "int8_static"]
    )
    fields: dict[str, Any] = {"architecture": {"name": "cnn", "config": {"preset": "small"}}}
    package = run(samples.path({"image": "image"}), tmp_path, spec("finetune", task="image_classification", **fields))
    (graph,) = package.package.manifest.graphs.values()
    assert graph.variant is not None
    assert graph.variant.batch_difference == pytest.approx(0, abs=1e-5)
    if graph.variant.served:
        nodes = onnx.load(package.package.file(graph.served_files[0])).graph.node
        assert sum(node.op_type == "QuantizeLinear" for node in nodes) > 2


def test_a_text_generator_is_evaluated_by_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    monkeypatch.setattr(graph_selection, "MAX_SIZE_FRACTION", 10.0)
    monkeypatch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
    monkeypatch.setattr(per_row_quantization, "MIN_WEIGHTS", 1)
    monkeypatch.setattr(graph_selection, "CANDIDATES", CANDIDATES[:1])
    fields: dict[str, Any] = {
        "task": "text_generation",
        "architecture": "gpt",
        "encoders": {"text": {"max_length": 16}},
    }
    package = run(samples.path(COLUMNS), tmp_path, spec("finetune", **fields)).package
    (graph,) = package.manifest.graphs.values()
    assert graph.variant is not None
    assert graph.variant.metric == "loss"
    assert graph.variant.before == pytest.approx(graph.variant.after, rel=0.05)
    assert graph.variant.before != graph.variant.after
    assert graph.variant.batch_difference == pytest.approx(0, abs=1e-4)
    prompts = [{"prompt": text, "max_new_tokens": 5, "seed": 3} for text in ("a", "a long day")]
    predictor = Predictor.load(package)
    assert predictor.predict(prompts) == [predictor.predict([prompt])[0] for prompt in prompts]


def test_noise_is_how_much_a_difference_depends_on_single_rows(package: ModelPackage) -> None:
    task = package.task()
    assert task is not None
    random, rows = np.random.default_rng(0), 400
    columns: dict[str, Any] = {"label": np.zeros(rows, dtype=np.int64), "text": [np.array([5])] * rows}

    def measurement(is_right: np.ndarray) -> graph_selection._Measurement:
        outputs = {"logits": np.stack([is_right, ~is_right, np.zeros(rows)], axis=1).astype(np.float32)}
        return graph_selection._Measurement(task.evaluate(outputs, columns, train=None), outputs, 1.0)

    first, second = random.random(rows) < 0.8, random.random(rows) < 0.8
    error = np.std(first.astype(float) - second) / rows**0.5
    # A loss is a mean, larger by 1 for each wrong row here. Ten groups estimate its error to about a quarter.
    for metric, tolerance in {"accuracy": 0.01, "loss": 0.6}.items():
        noise = graph_selection._estimate_noise(task, metric, columns, measurement(first), measurement(second))
        assert noise == pytest.approx(error, rel=tolerance)
        assert graph_selection._estimate_noise(task, metric, columns, measurement(first), measurement(first)) == 0
