"""Packages of version 1 are still read and predict the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from ml.data.dataset import Dataset
from ml.inference.predictor import Predictor
from ml.package import version_1
from ml.package.manifest import Manifest
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.schema import Spec
from tests.fixtures.version_1.home import FACTS, SHADES, SQUARES, WORDS, WORDS_BASE, image

TOLERANCE = 1e-4
PACKAGES = pytest.mark.parametrize(("package", "dataset"), [(SHADES, SQUARES), (WORDS_BASE, WORDS)])


def test_a_classifier_predicts_the_same() -> None:
    recorded = FACTS["predictions"]["shades"]
    outputs = Predictor.load(ModelPackage.open(SHADES)).predict([image(name) for name in recorded["images"]])
    assert [output["label"] for output in outputs] == [output["label"] for output in recorded["outputs"]]
    for output, expected in zip(outputs, recorded["outputs"], strict=True):
        assert output["probabilities"] == pytest.approx(expected["probabilities"], abs=TOLERANCE)


def test_a_base_model_embeds_the_same() -> None:
    recorded = FACTS["predictions"]["words-base"]
    predictor = Predictor.load(ModelPackage.open(WORDS_BASE))
    outputs = predictor.predict([{"text": text} for text in recorded["texts"]], parameters={"return": "embedding"})
    for output, expected in zip(outputs, recorded["outputs"], strict=True):
        assert output["embedding"] == pytest.approx(expected["embedding"], abs=TOLERANCE)


@PACKAGES
def test_its_choices_are_in_the_current_catalog(package: Path, dataset: Path) -> None:
    manifest, catalog = ModelPackage.open(package).manifest, Catalog.load()
    assert manifest.objective is not None
    assert manifest.objective.name in catalog.objectives
    assert {choice.name for choice in manifest.architectures.values()} <= catalog.architectures.keys()


@PACKAGES
def test_its_spec_can_be_trained_again(package: Path, dataset: Path) -> None:
    spec = TypeAdapter(Spec).validate_python(ModelPackage.open(package).manifest.source.spec)
    assert check(spec, Catalog.load(), Dataset.open(dataset).summary) == []


def test_the_words_of_graphs_and_variants_are_upgraded() -> None:
    parity = {"rows": 4, "max_abs_difference": 0.5, "labels_changed": 0, "largest_output": 2.0}
    verdict = {"metric": "accuracy", "before": 1.0, "after": 0.5, "served": False, "reason": "worse"}
    variant = {"name": "int8", "parity": parity, "speed": 1.5, "alone": True, **verdict}
    graph = {"file": "model.onnx", "opset": 18, "inputs": ["image"], "outputs": ["logits"], "parity": parity}
    graph |= {"variant": variant, "other_variants": [variant]}
    content = {"format_version": 1, "architectures": {}, "parameters": 1, "graphs": {"model": graph}, "no_graph": "why"}
    manifest = Manifest.model_validate(version_1.upgrade_manifest(content))
    upgraded = manifest.graphs["model"]
    assert manifest.no_graph_reason == "why"
    assert upgraded.parity is not None
    assert upgraded.parity.max_abs_output == 2.0
    for entry in (upgraded.variant, *upgraded.other_variants):
        assert entry is not None
        assert (entry.speedup, entry.single_row, entry.parity.max_abs_output) == (1.5, True, 2.0)


def test_the_words_of_specs_and_metrics_are_upgraded_and_restored() -> None:
    stopping = {"monitor": "validation/twin_accuracy", "patience": 2}
    spec = {"kind": "pretrain", "objective": "masked_image_modelling", "schedule": {"early_stopping": stopping}}
    upgraded = version_1.upgrade_spec(spec)
    assert upgraded["objective"] == "masked_image_modeling"
    assert upgraded["schedule"]["early_stopping"] == {**stopping, "monitor": "validation/contrastive_accuracy"}
    assert version_1.upgrade_spec(upgraded) == upgraded
    *_, oldest = version_1.earlier_spec_jsons(json.dumps(upgraded))
    assert json.loads(oldest) == spec
    state = version_1.upgrade_checkpoint_state({"metrics": {"validation/twin_accuracy": 0.5}})
    assert state == {"metrics": {"validation/contrastive_accuracy": 0.5}}


def test_tensors_of_checkpoints_are_renamed() -> None:
    names = ["chance.torch", "objective.chance", "objective.parametrizations.weight.0.more", "objective.more"]
    upgraded = version_1.upgrade_checkpoint_tensors(dict.fromkeys(names, 0))
    expected = ["rng.torch", "objective.chance", "objective.parametrizations.weight.0.appended", "objective.more"]
    assert list(upgraded) == expected


@pytest.mark.parametrize("value", [None, 3, "text", [], [1], {"spec": 3}, {"model": {"parity": 3, "variant": []}}])
@pytest.mark.parametrize("field", ["objective", "metrics", "graphs", "source", "schedule"])
def test_values_of_unexpected_types_are_left_to_the_reader(field: str, value: object) -> None:
    assert version_1.upgrade_manifest({"format_version": 1, field: value})[field] == value
    assert version_1.upgrade_spec({field: value}) == {field: value}


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        (
            "architecture",
            {"name": "cnn", "config": {"normalise": True}},
            {"name": "cnn", "config": {"normalize": True}},
        ),
        (
            "objective",
            {"name": "masked_language_modelling", "config": {"share": 0.3}},
            {"name": "masked_language_modeling", "config": {"prediction_fraction": 0.3}},
        ),
        (
            "tuning",
            {"name": "gradual_unfreezing", "config": {"thawed_after": 0.4}},
            {"name": "gradual_unfreezing", "config": {"unfreeze_until": 0.4}},
        ),
        (
            "architectures",
            {"image": {"name": "cnn", "config": {"normalise": False}}},
            {"image": {"name": "cnn", "config": {"normalize": False}}},
        ),
    ],
)
def test_options_of_a_stored_spec_get_their_current_names(field: str, old: Any, new: Any) -> None:
    assert version_1.upgrade_spec({field: old, "seed": 1}) == {field: new, "seed": 1}
    assert version_1.upgrade_spec({field: new})[field] == new


@pytest.mark.parametrize("task", ["tabular_regression", "image_classification"])
def test_fields_that_are_not_used_are_left_out_of_the_spec_that_an_earlier_build_wrote(task: str) -> None:
    options = {"resnet": {"inner": None}, "gpt": {"feed_forward": None}, "cnn": {"halving_side": 0}}
    architectures = [{"name": name, "config": config} for name, config in options.items()]
    config = {"loss": "mse", "dropout": 0.1} if task == "tabular_regression" else {}
    spec = {"task": {"name": task, "config": config}, "architectures": architectures, "sizes": None, "exits": False}
    latest, _ = version_1.earlier_spec_jsons(json.dumps(spec, separators=(",", ":")))
    expected = {"task": {"name": task, "config": {key: value for key, value in config.items() if key != "loss"}}}
    expected["architectures"] = [{"name": name, "config": {}} for name in options]
    assert json.loads(latest) == expected


def test_a_field_that_is_used_stays() -> None:
    text = '{"sizes":[1,0.5],"exits":true}'
    assert next(version_1.earlier_spec_jsons(text)) == text
