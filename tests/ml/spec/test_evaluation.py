"""Checks of evaluations, from data alone."""

from typing import Any

import pytest

from ml.data.dataset import DatasetSummary
from ml.package.manifest import Manifest
from ml.spec.evaluation import Evaluate, check_evaluation, choose_split

MANIFEST = Manifest.model_validate(
    {
        "task": "image_classification",
        "architectures": {"image": "cnn"},
        "encoders": {"image": {"name": "image", "config": {"height": 8, "width": 8, "channels": 1}}},
        "labels": ["a", "b"],
        "parameters": 1,
    }
)


def make_summary(**changes: Any) -> DatasetSummary:
    content = {
        "format": "class_folders",
        "task": "image_classification",
        "columns": {"image": "image", "label": "label"},
        "splits": {"train": 8, "validation": 2, "test": 0},
        "classes": ["a", "b"],
        "class_counts": {"train": {"a": 4, "b": 4}, "validation": {"a": 1, "b": 1}},
    }
    return DatasetSummary.model_validate({**content, **changes})


def make_spec(**changes: Any) -> Evaluate:
    return Evaluate.model_validate({"kind": "evaluate", "model": "m@1", "dataset": "d", **changes})


def find(spec: Evaluate, summary: DatasetSummary | None = None, manifest: Manifest = MANIFEST) -> list[tuple[Any, ...]]:
    return [(item.path, item.code) for item in check_evaluation(spec, manifest, summary)]


def test_the_default_split_is_the_first_of_test_and_validation_that_has_rows() -> None:
    assert choose_split(make_spec(), make_summary()) == "validation"
    assert choose_split(make_spec(), make_summary(splits={"train": 8, "test": 3})) == "test"
    assert choose_split(make_spec(split="train"), make_summary()) == "train"


def test_a_dataset_with_the_columns_and_labels_of_the_model_fits() -> None:
    assert find(make_spec(), make_summary()) == []
    assert find(make_spec(), None) == [], "it is checked again once the dataset is ready"


def test_a_split_without_rows_is_refused_with_those_that_have_some() -> None:
    (finding,) = check_evaluation(make_spec(split="test"), MANIFEST, make_summary())

    assert (finding.path, finding.expected) == ("split", "train, validation")


def test_a_base_model_is_refused() -> None:
    base = MANIFEST.model_copy(update={"task": None})

    assert find(make_spec(), make_summary(), base) == [("model", "does_not_fit")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"text": "text", "label": "label"}}, "needs a column 'image' of type image"),
        ({"facts": {"image": {"channels": 3}}}, "reads gray images, and these are in color"),
        (
            {"class_counts": {"validation": {"a": 1, "z": 1, "y": 0}}, "classes": ["a", "y", "z"]},
            "the model does not know labels of the validation split: 'z'",
        ),
    ],
)
def test_rows_that_the_model_cannot_read_are_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    findings = check_evaluation(make_spec(), MANIFEST, make_summary(**changes))

    assert [finding.path for finding in findings] == ["dataset"]
    assert message in findings[0].message
