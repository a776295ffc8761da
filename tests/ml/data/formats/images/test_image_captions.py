"""Images with a text of their name beside each."""

import json

import pytest

from ml.data.dataset import Dataset
from ml.tasks import TASKS
from tests.support.ml.dataset_files import codes, make_png, make_tar, make_zip, sample, upload

COUNT = 40
TEXTS = [f"a box, number {number}" for number in range(COUNT)]
IMAGES = {f"{number:03}.png": make_png(number) for number in range(COUNT)}


def make_files(folder="", suffix="txt", *, text_folder=None):
    text_folder = folder if text_folder is None else text_folder
    texts = {f"{text_folder}{number:03}.{suffix}": text.encode() for number, text in enumerate(TEXTS)}
    return {f"{folder}{name}": data for name, data in IMAGES.items()} | texts


def make_json(number):
    return json.dumps({"caption": TEXTS[number], "width": 6}).encode()


SHARD = make_files() | {f"{number:03}.json": make_json(number) for number in range(COUNT)}
LAYOUTS = {
    "beside": make_files("10_box/"),
    "above": make_files(),
    "caption files": make_files(suffix="caption"),
    "folders": make_files("images/", text_folder="captions/"),
    "shard": SHARD,
}


@pytest.mark.parametrize("task", ["image_text_matching", None])
@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("pack", [make_zip, make_tar], ids=["zip", "tar"])
def test_a_text_beside_an_image_is_its_caption(tmp_path, layout, task, pack):
    name = "a.zip" if pack is make_zip else "a.tar"
    report = upload(tmp_path, {name: pack(sorted(LAYOUTS[layout].items()))}, task=task, tasks=TASKS)

    assert (report.state, codes(report)) == ("ready", set())
    assert (report.guess.format, report.guess.task) == ("image_captions", "image_text_matching")
    data = Dataset.open(tmp_path / "dataset")
    assert sorted(text for split in report.splits for text in data.rows(split).columns["text"]) == sorted(TEXTS)


def test_classes_of_a_shard_are_read(tmp_path):
    files = IMAGES | {f"{number:03}.cls": str(number % 2).encode() for number in range(COUNT)}
    report = upload(tmp_path, {"train-0000.tar": make_tar(sorted(files.items()))}, tasks=TASKS)

    assert (report.state, codes(report), report.classes) == ("ready", set(), ["0", "1"])


def test_captions_in_json_are_read_if_the_task_needs_texts(tmp_path):
    files = IMAGES | {f"{number:03}.json": make_json(number) for number in range(COUNT)}
    report = upload(tmp_path, {"a.tar": make_tar(sorted(files.items()))}, task="image_text_matching", tasks=TASKS)

    assert (report.state, codes(report), report.accepted) == ("ready", set(), COUNT)


def test_folders_and_shards_decide_on_the_split(tmp_path):
    files = {f"{'train' if number < 30 else 'val'}/{name}": data for number, (name, data) in enumerate(IMAGES.items())}
    files |= {f"{file[:-3]}txt": TEXTS[number].encode() for number, file in enumerate(list(files))}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, tasks=TASKS)

    assert (report.state, report.splits["validation"]) == ("ready", 10)


def test_images_without_a_text_and_other_files_are_reported(tmp_path):
    files = make_files() | {"more.png": make_png(99), "note.xlsx": b"x", "lost.txt": b"lost"}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, tasks=TASKS)

    assert (report.state, codes(report)) == ("ready", {"image_without_caption", "file_ignored"})
    assert sample(report, "image_without_caption")["file"] == "a.zip/more.png"
    assert report.accepted == COUNT


def test_labels_of_yolo_are_no_captions(tmp_path):
    files = IMAGES | {f"{number:03}.txt": b"0 0.5 0.5 0.25 0.25" for number in range(COUNT)}
    report = upload(tmp_path, {"a.zip": make_zip(files.items())}, tasks=TASKS)

    assert (report.state, codes(report)) == ("rejected", {"caption_of_numbers", "image_without_caption"})
