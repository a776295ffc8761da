"""Packages of version 1 are still read and predict the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ml.data.dataset import Dataset
from ml.inference.predictor import Predictor
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.schema import Spec
from tests.fixtures.version_1.home import FACTS, SHADES, SQUARES, WORDS, WORDS_BASE, image

TOLERANCE = 1e-4
PACKAGES = pytest.mark.parametrize(("package", "dataset"), [(SHADES, SQUARES), (WORDS_BASE, WORDS)])


def test_a_classifier_predicts_what_it_predicted() -> None:
    recorded = FACTS["predictions"]["shades"]
    outputs = Predictor.load(ModelPackage.open(SHADES)).predict([image(name) for name in recorded["images"]])
    assert [output["label"] for output in outputs] == [output["label"] for output in recorded["outputs"]]
    for output, expected in zip(outputs, recorded["outputs"], strict=True):
        assert output["probabilities"] == pytest.approx(expected["probabilities"], abs=TOLERANCE)


def test_a_base_model_embeds_as_it_did() -> None:
    recorded = FACTS["predictions"]["words-base"]
    predictor = Predictor.load(ModelPackage.open(WORDS_BASE))
    outputs = predictor.predict([{"text": text} for text in recorded["texts"]], parameters={"return": "embedding"})
    for output, expected in zip(outputs, recorded["outputs"], strict=True):
        assert output["embedding"] == pytest.approx(expected["embedding"], abs=TOLERANCE)


@PACKAGES
def test_its_choices_are_in_the_catalog_of_today(package: Path, dataset: Path) -> None:
    manifest, catalog = ModelPackage.open(package).manifest, Catalog.load()
    assert manifest.objective is not None
    assert manifest.objective.name in catalog.objectives
    assert {choice.name for choice in manifest.architectures.values()} <= catalog.architectures.keys()


@PACKAGES
def test_the_spec_it_was_trained_by_can_be_trained_again(package: Path, dataset: Path) -> None:
    spec = TypeAdapter(Spec).validate_python(ModelPackage.open(package).manifest.source.spec)
    assert check(spec, Catalog.load(), Dataset.open(dataset).summary) == []
