"""A linear probe ranks models by what their frozen features tell about the classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.dataset import Dataset, DatasetSummary
from ml.data.rows import Rows
from ml.errors import DataError
from ml.evaluation.linear_probe import probe, summarize
from ml.package.manifest import Manifest
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.recommendation import BasesRequest, check_base, check_recommendation
from tests.support.ml.digits import SHORT, import_digits, run, spec

CNN = {"name": "cnn", "config": {"stages": [[8, 8], [16]]}}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def bases(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    """Train a model on the digits, and another one hardly at all."""
    fields = {"objective": "supervised", "task": "image_classification", "architecture": CNN}
    longer = {**SHORT, "epochs": 6, "batch_size": 64, "learning_rate": 0.01}
    folder = tmp_path_factory.mktemp("bases")
    return {
        name: run(digits, folder / name, spec("pretrain", **fields, schedule=schedule)).package
        for name, schedule in (("novice@1", {**SHORT, "learning_rate": 1e-6}), ("expert@1", longer))
    }


def test_the_model_that_knows_the_classes_comes_first(digits: Path, bases: dict[str, ModelPackage]) -> None:
    rows = Dataset.open(digits).rows("train")
    report = probe(bases, rows)
    again = probe({"expert@1": bases["expert@1"]}, rows)

    first, second = report["bases"]
    assert (first["base"], second["base"]) == ("expert@1", "novice@1")
    assert first["interval"][0] > second["interval"][1]
    assert first["accuracy"] > 0.9
    assert report["baseline"]["accuracy"] < 0.2
    assert (report["rows"], report["folds"], first["width"]) == (1000, 5, 16)
    assert first["accuracy"] == pytest.approx(np.mean(first["folds"]), abs=1e-3)
    assert again["bases"][0]["accuracy"] == first["accuracy"], "it does not depend on the other models"
    assert summarize(report)[0].startswith("1. expert@1: accuracy 0.9")


def test_overlapping_intervals_are_reported(digits: Path, bases: dict[str, ModelPackage]) -> None:
    package = bases["expert@1"]
    report = probe({"one@1": package, "other@1": package}, Dataset.open(digits).rows("train")[:80])

    assert "the intervals of the first two overlap" in summarize(report)[-1]


def test_rows_of_one_class_are_refused(digits: Path, bases: dict[str, ModelPackage]) -> None:
    rows = Dataset.open(digits).rows("train")
    label = list(rows.columns["label"])
    same = rows.take([number for number, name in enumerate(label) if name == label[0]][:20])

    with pytest.raises(DataError, match="no two classes"):
        probe(bases, Rows(dict(same.columns)))


@pytest.mark.parametrize(
    ("request_fields", "message"),
    [
        ({"task": "translation"}, "translation has no single class for each row"),
        ({"task": "image_clasification"}, "image_classification"),
        ({"task": "text_classification"}, "needs a column 'text'"),
    ],
)
def test_a_dataset_that_no_probe_fits_says_why(digits: Path, request_fields: dict[str, Any], message: str) -> None:
    summary: DatasetSummary = Dataset.open(digits).summary
    findings = check_recommendation(BasesRequest(dataset="digits", **request_fields), Catalog.load(), summary)

    assert any(message in f"{finding.message} {finding.hint} {finding.expected}" for finding in findings)


def test_a_model_that_reads_something_else_says_what(digits: Path, bases: dict[str, ModelPackage]) -> None:
    manifest = bases["expert@1"].manifest
    text = Manifest.model_validate({**manifest.model_dump(), "encoders": {"text": {"name": "text", "config": {}}}})
    request, summary = BasesRequest(dataset="digits", task="image_classification"), Dataset.open(digits).summary

    assert check_base(request, "expert@1", Catalog.load(), manifest, summary) == []
    (finding,) = check_base(request, "words@1", Catalog.load(), text, summary)
    assert finding.message == "words@1 reads text, image_classification reads image"
