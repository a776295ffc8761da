"""Derivation of datasets of images with objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.derivation.check import check_operations
from ml.data.derivation.derive import derive_dataset
from ml.data.derivation.operations import parse_operations
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.support.ml.dataset_files import encode_image, make_images, make_zip, upload

BOXES = {"cat": [0, 0, 4, 4], "dog": [4, 4, 10, 10], "bird": [1, 1, 3, 9]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    images = make_images(40, side=12)
    objects = [{"label": label, "box": box} for label, box in BOXES.items()]
    lines = [json.dumps({"file_name": f"{row}.png", "objects": objects[: 1 + row % 3]}) for row in range(40)]
    members = [("metadata.jsonl", "\n".join(lines).encode())]
    members += [(f"{row}.png", encode_image(image)) for row, image in enumerate(images)]
    report = upload(tmp_path, {"pets.zip": make_zip(members)}, task="object_detection")
    assert report.state == "ready", report.errors
    return tmp_path


def derive(folder: Path, *operations: dict[str, Any], others: dict[str, Path] | None = None) -> ImportReport:
    parsed = parse_operations(list(operations))
    assert not check_operations(parsed, Dataset.open(folder / "dataset").summary, {})
    return derive_dataset(folder / "dataset", folder / "derived", parsed, name="pets@1", others=others, tasks=TASKS)


def objects_of(folder: Path) -> list[list[dict[str, Any]]]:
    return [row["objects"] for row in Dataset.open(folder).rows("train")]


def test_classes_of_objects_are_merged(source: Path) -> None:
    report = derive(source, {"operation": "merge_classes", "classes": ["cat", "dog"], "into": "pet"})
    assert (report.state, report.classes) == ("ready", ["bird", "pet"])
    renamed = {"cat": "pet", "dog": "pet", "bird": "bird"}
    assert objects_of(source / "derived") == [
        [{**item, "label": renamed[item["label"]]} for item in objects] for objects in objects_of(source / "dataset")
    ]
    assert report.suggestions[0].message == "merge_classes changed the objects of images"


def test_objects_get_another_class_by_their_position(source: Path) -> None:
    before = objects_of(source / "dataset")
    image = next(index for index, objects in enumerate(before) if len(objects) == 3)
    report = derive(source, {"operation": "relabel", "objects": {"train": {image: {1: "fox"}}}})
    after = objects_of(source / "derived")
    assert [item["label"] for item in after[image]] == ["cat", "fox", "bird"]
    assert after[:image] + after[image + 1 :] == before[:image] + before[image + 1 :]
    assert report.classes == ["bird", "cat", "dog", "fox"]


@pytest.mark.parametrize(
    ("condition", "labels"),
    [
        ({"classes": ["dog"]}, {"dog"}),
        ({"without_classes": ["dog"]}, {"cat", "bird"}),
        ({"min_box_pixels": 3}, {"cat", "dog"}),
        ({"min_box_pixels": 3, "without_classes": ["cat"]}, {"dog"}),
    ],
)
def test_objects_are_filtered_and_all_images_remain(source: Path, condition: dict[str, Any], labels: set[str]) -> None:
    report = derive(source, {"operation": "filter", **condition})
    assert report.accepted == 40
    assert objects_of(source / "derived") == [
        [item for item in objects if item["label"] in labels] for objects in objects_of(source / "dataset")
    ]
    assert set(report.classes or ()) == labels


def test_operations_are_applied_in_their_order(source: Path) -> None:
    report = derive(
        source,
        {"operation": "merge_classes", "classes": ["cat"], "into": "pet"},
        {"operation": "filter", "splits": ["train", "validation"]},
        {"operation": "filter", "classes": ["pet"]},
    )
    assert (report.splits["test"], report.classes) == (Dataset.open(source / "derived").summary.splits["test"], ["pet"])


def test_operations_on_objects_are_refused_without_objects_and_classes_that_there_are_not(source: Path) -> None:
    summary = Dataset.open(source / "dataset").summary
    texts = summary.model_copy(update={"columns": {"text": "text", "label": "label"}})
    operations = parse_operations(
        [
            {"operation": "relabel", "objects": {"train": {999: {0: "x"}}}},
            {"operation": "filter", "min_box_pixels": 4},
            {"operation": "merge_classes", "classes": ["cow"], "into": "pet"},
        ]
    )
    assert [finding.code for finding in check_operations(operations, texts, {})][:2] == ["no_objects", "no_objects"]
    findings = check_operations(operations, summary, {})
    assert [finding.path for finding in findings] == ["operations.0.objects.train", "operations.2.classes"]


def test_positions_beyond_the_objects_of_an_image_are_all_listed(source: Path) -> None:
    first, second = (len(objects) for objects in objects_of(source / "dataset")[:2])
    changes = {0: {0: "fox", first: "fox"}, 1: {second + 5: "fox"}}
    report = derive(source, {"operation": "relabel", "objects": {"train": changes}})
    assert report.state == "rejected"
    [entry] = [entry for entry in report.errors if entry.code == "no_such_object"]
    assert [(item["row"], item["found"], item["expected"]) for item in entry.sample] == [
        (1, str(first), f"0 to {first - 1}"),
        (2, str(second + 5), f"0 to {second - 1}"),
    ]
    assert not (source / "derived").exists()


def test_objects_are_not_relabeled_after_a_filter_that_renumbers_them(source: Path) -> None:
    summary = Dataset.open(source / "dataset").summary
    relabel = {"operation": "relabel", "objects": {"train": {0: {0: "fox"}}}}
    of_objects = {"operation": "filter", "classes": ["cat"]}
    of_images = {"operation": "filter", "splits": ["train"]}
    for operations, paths in (
        ([relabel, of_objects], []),
        ([of_images, relabel], []),
        ([of_objects, relabel], ["operations.1.objects"]),
    ):
        findings = check_operations(parse_operations(operations), summary, {})
        assert [finding.path for finding in findings if finding.code == "invalid_order"] == paths
