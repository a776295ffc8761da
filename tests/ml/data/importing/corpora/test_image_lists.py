"""JSON about images beside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import SPLITS, Dataset
from tests.support.ml.dataset_files import codes, make_png, make_zip, upload

COUNT = 24


def caption(row: int, number: int = 0) -> str:
    return f"caption {row} number {number} of an image"


CAPTION_LISTS: dict[str, Any] = {
    "by the id of COCO": [{"image_id": 100 + row, "caption": caption(row)} for row in range(COUNT)],
    "by name": [{"image": f"images/COCO_val_{100 + row:06}.png", "caption": caption(row)} for row in range(COUNT)],
    "by name, with an id": [
        {"id": row, "filename": f"COCO_val_{100 + row:06}.png", "caption": caption(row)} for row in range(COUNT)
    ],
    "by key": {f"COCO_val_{100 + row:06}.png": caption(row) for row in range(COUNT)},
}
SEVERAL: dict[str, Any] = {
    "list": [
        {"image": f"COCO_val_{100 + row:06}.png", "caption": [caption(row, 0), caption(row, 1)]} for row in range(COUNT)
    ],
    "by key": {f"COCO_val_{100 + row:06}.png": [caption(row, 0), caption(row, 1)] for row in range(COUNT)},
}


def members(**files: Any) -> bytes:
    images = [(f"images/COCO_val_{100 + row:06}.png", make_png(row)) for row in range(COUNT)]
    return make_zip([*images, *((f"{name}.json", json.dumps(content).encode()) for name, content in files.items())])


def captions_of(folder: Path) -> list[str]:
    dataset = Dataset.open(folder / "dataset")
    return sorted(text for split in SPLITS for text in dataset.rows(split).columns["text"])


@pytest.mark.parametrize("name", CAPTION_LISTS)
@pytest.mark.parametrize("is_loose", [False, True])
def test_captions_are_read_from_json_of_any_form(tmp_path: Path, name: str, is_loose: bool) -> None:
    content = CAPTION_LISTS[name]
    files = {"a.zip": members(), "data.json": json.dumps(content).encode()} if is_loose else {}
    report = upload(tmp_path, files or {"a.zip": members(data=content)})
    assert (report.state, report.guess and report.guess.task) == ("ready", "image_text_matching")
    assert captions_of(tmp_path) == sorted(map(caption, range(COUNT)))


@pytest.mark.parametrize("name", SEVERAL)
def test_several_captions_of_an_image_are_a_row_each(tmp_path: Path, name: str) -> None:
    report = upload(tmp_path, {"a.zip": members(data=SEVERAL[name])})
    assert (report.state, report.rows) == ("ready", 2 * COUNT)


@pytest.mark.parametrize("content", [
    [{"filename": f"COCO_val_{100 + row:06}.png", "label": "ab"[row % 2]} for row in range(COUNT)],
    {f"COCO_val_{100 + row:06}.png": "ab"[row % 2] for row in range(COUNT)},
])  # fmt: skip
def test_classes_are_read_from_json(tmp_path: Path, content: Any) -> None:
    report = upload(tmp_path, {"a.zip": members(data=content)})
    assert (report.state, report.classes) == ("ready", ["a", "b"])


def test_the_splits_of_karpathy_hold(tmp_path: Path) -> None:
    splits = ["test", "val", "train", "restval", "train", "train"]
    images = [
        {
            "filename": f"COCO_val_{100 + row:06}.png",
            "imgid": row,
            "split": splits[row % 6],
            "sentences": [
                {"raw": caption(row, number), "tokens": ["caption"], "sentid": number} for number in range(2)
            ],
        }
        for row in range(COUNT)
    ]
    report = upload(tmp_path, {"a.zip": members(dataset_coco={"images": images, "dataset": "coco"})})
    assert (report.state, report.splits) == ("ready", {"train": 32, "validation": 8, "test": 8})


def test_files_of_lists_say_their_split(tmp_path: Path) -> None:
    content = CAPTION_LISTS["by name"]
    report = upload(tmp_path, {"a.zip": members(train=content[:16], val=content[16:20], test=content[20:])})
    assert (report.state, report.splits) == ("ready", {"train": 16, "validation": 4, "test": 4})


def test_conversations_and_questions_about_images_are_reported_as_not_read(tmp_path: Path) -> None:
    talks = [
        {"image": f"COCO_val_{100 + row:06}.png", "conversations": [{"from": "human", "value": "what?"}]}
        for row in range(COUNT)
    ]
    questions = [{"image": f"COCO_val_{100 + row:06}.png", "question": "what?", "answer": "a"} for row in range(COUNT)]
    for name, content in {"talks": talks, "questions": questions}.items():
        report = upload(tmp_path / name, {"a.zip": members(**{name: content})})
        assert (report.state, "content_not_read" in codes(report)) == ("rejected", True)
