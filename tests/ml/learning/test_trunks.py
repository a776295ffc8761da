"""Trunks: a frozen backbone is one file for all its models, and runs once."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ml.inference import onnx_session
from ml.inference.embedding_adapter import EMBEDDING
from ml.inference.predictor import Predictor
from ml.learning.export import graph_selection
from ml.learning.export.torch_runner import load
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.package import ModelPackage
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

SLOTS = {
    "bert": ("text", "text_classification", "masked_language_modeling"),
    "resnet": ("image", "image_classification", "contrastive_views"),
}


class Family(NamedTuple):
    architecture: str
    packages: list[ModelPackage]


def fine_tune(folder: Path, base: ModelPackage, architecture: str, *, tuning: str = "head_only", seed: int) -> Any:
    slot, task, _ = SLOTS[architecture]
    request = spec("finetune", task=task, start_from="base", tuning=tuning, seed=seed)
    data = samples.path({slot: slot, "label": "label"})
    return run(data, folder, request, start_from=base.directory).package


@pytest.fixture(scope="module", params=list(SLOTS))
def family(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A base model, two models with other heads, and one with another backbone."""
    slot, _, objective = SLOTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    tiny = ARCHITECTURES[request.param].tiny().model_dump(mode="json")
    pretraining = spec("pretrain", objective=objective, architecture={"name": request.param, "config": tiny})
    base = run(samples.path({slot: slot}), folder / "base", pretraining).package
    packages = [
        base,
        *(fine_tune(folder / str(seed), base, request.param, seed=seed) for seed in (1, 2)),
        fine_tune(folder / "full", base, request.param, tuning="full", seed=1),
    ]
    return Family(request.param, packages)


def inputs(architecture: str, count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Texts of many lengths, or images."""
    random = np.random.default_rng(start)
    if architecture == "bert":
        return [{"text": " ".join(random.choice(samples.WORDS, size=1 + 2 * row))} for row in range(count)]
    side = samples.SIDE
    return [{"pixels": random.integers(0, 256, size=(side, side)).tolist()} for _ in range(count)]


def test_the_trunk_is_the_same_file_for_all_heads(family: Family) -> None:
    base, first, second, full = family.packages
    graphs = [package.manifest.graphs["model"] for package in (first, second)]
    assert [graph.files for graph in graphs] == [["trunk.onnx", "model.onnx"]] * 2
    assert first.entry("trunk.onnx").sha256 == second.entry("trunk.onnx").sha256 == base.entry("model.onnx").sha256
    assert first.entry("model.onnx").sha256 != second.entry("model.onnx").sha256
    assert (graphs[0].outputs, graphs[0].parity.labels_changed) == (["logits", EMBEDDING], 0)
    assert full.manifest.graphs["model"].files == ["model.onnx"]


def test_trunk_and_head_have_the_outputs_of_the_network(family: Family) -> None:
    package = family.packages[1]
    raw_inputs = inputs(family.architecture, 5)
    by_graphs, by_torch = Predictor.load(package), Predictor(package, engine="torch", run=load(package, device="cpu"))
    for parameters in ({}, {"return": EMBEDDING}):
        outputs, expected = (
            predictor.predict(raw_inputs, parameters=parameters) for predictor in (by_graphs, by_torch)
        )
        close(outputs, expected)


def test_models_of_one_trunk_predict_together_like_alone(family: Family) -> None:
    first, second = (Predictor.load(package) for package in family.packages[1:3])
    assert first.trunk_key == second.trunk_key != None  # noqa: E711 - both are, and equal
    assert Predictor.load(family.packages[3]).trunk_key is None
    batches = [inputs(family.architecture, count, start=count) for count in (7, 4)]
    parameters = first.parse_parameters({})
    rows = [[first.read(raw_input, parameters) for raw_input in batch] for batch in batches]
    for output in (None, EMBEDDING):
        expected = [
            predictor.answer(part, output=output) for predictor, part in zip((first, second), rows, strict=True)
        ]
        together = first.answer_together([(first, rows[0]), (second, rows[1])], output=output)
        close(together, expected)
        assert together[0][0] != together[1][0]


def test_an_open_trunk_is_shared_and_closed_with_its_last_user(family: Family) -> None:
    first, second = (Predictor.load(package) for package in family.packages[1:3])
    sha256 = family.packages[1].entry("trunk.onnx").sha256
    session = weakref.ref(onnx_session.open_once(sha256, lambda: family.packages[1].file("trunk.onnx")))
    assert session() is first._trunk is second._trunk
    del first
    gc.collect()
    assert session() is not None
    del second
    gc.collect()
    assert session() is None


def test_a_quantized_trunk_is_the_same_file_too(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family.architecture != "bert":
        pytest.skip("convolutions are not quantized by row")
    monkeypatch.setattr(graph_selection, "MIN_SPEEDUP", 0.0)
    monkeypatch.setattr(graph_selection, "MIN_BYTES", 1)
    monkeypatch.setattr(graph_selection, "MAX_SIZE_FRACTION", 10.0)
    packages = [fine_tune(tmp_path / str(seed), family.packages[0], "bert", seed=seed) for seed in (3, 4)]
    assert [package.manifest.graphs["model"].served_files for package in packages] == [
        ["trunk.int8_rows.onnx", "model.onnx"]
    ] * 2
    first, second = (Predictor.load(package) for package in packages)
    assert first.trunk_key == second.trunk_key != Predictor.load(family.packages[1]).trunk_key
    assert "logits" in packages[0].manifest.graphs["model"].outputs
    raw_inputs = inputs("bert", 5)
    plain = Predictor.load(family.packages[1])
    # 8 bits of a weight are a few percent of the largest value.
    outputs = (predictor.predict(raw_inputs, parameters={"return": EMBEDDING}) for predictor in (first, plain))
    for output, expected in zip(*outputs, strict=True):
        assert output[EMBEDDING] == pytest.approx(expected[EMBEDDING], abs=0.1)


def close(actual: Any, expected: Any) -> None:
    """Compare with the tolerance of float32 sums in another order."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, list):
        for pair in zip(actual, expected, strict=True):
            close(*pair)
    else:
        assert actual == (expected if isinstance(expected, str) else pytest.approx(expected, abs=1e-5))
