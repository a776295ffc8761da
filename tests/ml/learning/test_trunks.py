"""Fine-tunes whose backbone is their base's: it is a file of its own, the same for all of them, and is run once."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ml.inference import onnx_session
from ml.inference.predictor import EMBEDDING, Predictor
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
    asked = spec("finetune", task=task, start_from="base", tuning=tuning, seed=seed)
    data = samples.path({slot: slot, "label": "label"})
    return run(data, folder, asked, start_from=base.directory).package


@pytest.fixture(scope="module", params=list(SLOTS))
def family(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A base, two fine-tunes with other heads, and one whose backbone has moved."""
    slot, _, objective = SLOTS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    tiny = ARCHITECTURES[request.param].tiny().model_dump(mode="json")
    asked = spec("pretrain", objective=objective, architecture={"name": request.param, "config": tiny})
    base = run(samples.path({slot: slot}), folder / "base", asked).package
    packages = [
        base,
        *(fine_tune(folder / str(seed), base, request.param, seed=seed) for seed in (1, 2)),
        fine_tune(folder / "full", base, request.param, tuning="full", seed=1),
    ]
    return Family(request.param, packages)


def inputs(architecture: str, count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Texts of many lengths, or pictures."""
    chance = np.random.default_rng(start)
    if architecture == "bert":
        return [{"text": " ".join(chance.choice(samples.WORDS, size=1 + 2 * row))} for row in range(count)]
    side = samples.SIDE
    return [{"pixels": chance.integers(0, 256, size=(side, side)).tolist()} for _ in range(count)]


def test_the_trunk_is_the_same_file_whatever_was_learned_on_it(family: Family) -> None:
    base, one, other, moved = family.packages
    graphs = [each.manifest.graphs["model"] for each in (one, other)]
    assert [graph.files for graph in graphs] == [["trunk.onnx", "model.onnx"]] * 2
    assert one.entry("trunk.onnx").sha256 == other.entry("trunk.onnx").sha256 == base.entry("model.onnx").sha256
    assert one.entry("model.onnx").sha256 != other.entry("model.onnx").sha256
    assert (graphs[0].outputs, graphs[0].parity.labels_changed) == (["logits", EMBEDDING], 0)
    assert moved.manifest.graphs["model"].files == ["model.onnx"]


def test_both_files_say_what_the_network_says(family: Family) -> None:
    one = family.packages[1]
    given = inputs(family.architecture, 5)
    by_graphs, by_torch = Predictor.load(one), Predictor(one, engine="torch", run=load(one, device="cpu"))
    for parameters in ({}, {"return": EMBEDDING}):
        found, expected = (each.predict(given, parameters=parameters) for each in (by_graphs, by_torch))
        close(found, expected)


def test_models_alike_answer_together_as_each_would_alone(family: Family) -> None:
    one, other = (Predictor.load(each) for each in family.packages[1:3])
    assert one.trunk_key == other.trunk_key != None  # noqa: E711 - both are, and equal
    assert Predictor.load(family.packages[3]).trunk_key is None
    given = [inputs(family.architecture, count, start=count) for count in (7, 4)]
    asked = one.parse_parameters({})
    rows = [[one.read(each, asked) for each in part] for part in given]
    for wanted in (None, EMBEDDING):
        expected = [each.answer(part, output=wanted) for each, part in zip((one, other), rows, strict=True)]
        found = one.answer_together([(one, rows[0]), (other, rows[1])], output=wanted)
        close(found, expected)
        assert found[0][0] != found[1][0]


def test_what_is_open_already_is_not_opened_again_and_leaves_with_the_last(family: Family) -> None:
    one, other = (Predictor.load(each) for each in family.packages[1:3])
    sha256 = family.packages[1].entry("trunk.onnx").sha256
    session = weakref.ref(onnx_session.open_once(sha256, lambda: family.packages[1].file("trunk.onnx")))
    assert session() is one._trunk is other._trunk
    del one
    gc.collect()
    assert session() is not None
    del other
    gc.collect()
    assert session() is None


def test_a_trunk_in_8_bits_is_the_same_file_too(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family.architecture != "bert":
        pytest.skip("convolutions stay as they are")
    monkeypatch.setattr(graph_selection, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(graph_selection, "SMALLEST_BYTES", 1)
    monkeypatch.setattr(graph_selection, "LARGEST_SHARE", 10.0)
    made = [fine_tune(tmp_path / str(seed), family.packages[0], "bert", seed=seed) for seed in (3, 4)]
    assert [each.manifest.graphs["model"].served_files for each in made] == [["trunk.int8_rows.onnx", "model.onnx"]] * 2
    one, other = (Predictor.load(each) for each in made)
    assert one.trunk_key == other.trunk_key != Predictor.load(family.packages[1]).trunk_key
    assert "logits" in made[0].manifest.graphs["model"].outputs
    given = inputs("bert", 5)
    plain = Predictor.load(family.packages[1])
    # Weights have 8 bits: a few parts in a hundred of the largest value.
    for found, expected in zip(
        *(each.predict(given, parameters={"return": EMBEDDING}) for each in (one, plain)), strict=True
    ):
        assert found[EMBEDDING] == pytest.approx(expected[EMBEDDING], abs=0.1)


def close(found: Any, expected: Any) -> None:
    """Equal but for what float32 loses by adding in another order."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    else:
        assert found == (expected if isinstance(expected, str) else pytest.approx(expected, abs=1e-5))
