"""Files of a folder that a browser sent are read with their paths."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from ml.data.importing.importer import import_dataset
from ml.tasks import TASKS
from tests.support.factories import png
from worker.jobs.validate_dataset import gather_folder


def write(folder: Path, names: list[str]) -> list[Path]:
    files = []
    for number, name in enumerate(names):
        (folder / str(number)).mkdir()
        files.append(folder / str(number) / Path(name).name)
        files[-1].write_bytes(png(number))
    return files


def test_class_folders_sent_by_a_browser_are_read_as_classes(tmp_path: Path) -> None:
    paths = [f"pets/{('golden retriever', 'cat')[number % 2]}/{number // 2}.png" for number in range(60)]
    [archive] = gather_folder(paths, write(tmp_path, paths), tmp_path / "folder")
    assert archive.name == "pets.zip"
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == paths
    report = import_dataset([archive], tmp_path / "dataset", task="image_classification", tasks=TASKS)
    assert (report.state, report.rows) == ("ready", 60)
    assert report.classes == ["cat", "golden retriever"]


def test_archives_and_files_without_a_folder_stay_as_they_are(tmp_path: Path) -> None:
    paths = ["d/a/1.png", "d/b/2.png", "d/more.zip", None, "d/a/1.png"]
    files = write(tmp_path, ["1.png", "2.png", "more.zip", "3.png", "1.png"])
    archive, *others = gather_folder(paths, files, tmp_path / "folder")
    assert others == files[2:]
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == ["d/a/1.png", "d/b/2.png"]


def test_tables_of_one_folder_are_read_in_turn(tmp_path: Path) -> None:
    paths = ["shards/1.csv", "shards/2.csv", None]
    files = write(tmp_path, ["1.csv", "2.csv", "3.csv"])
    assert gather_folder(paths, files, tmp_path / "folder") == files
    assert not (tmp_path / "folder").exists()


def scan(number: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 60), np.uint8)).save(content, "PNG")
    return content.getvalue()


def coco() -> dict[str, bytes]:
    document = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 60, "height": 40} for number in range(20)],
        "categories": [{"id": 1, "name": "nodule"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [5, 6, 20, 10]} for number in range(20)
        ],
    }
    return {"annotations.json": json.dumps(document).encode()}


def voc() -> dict[str, bytes]:
    text = (
        "<annotation><filename>{0}.png</filename><size><width>60</width><height>40</height><depth>1</depth></size>"
        "<object><name>nodule</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>16</ymax></bndbox></object>"
        "</annotation>"
    )
    return {f"{number}.xml": text.format(number).encode() for number in range(20)}


def yolo() -> dict[str, bytes]:
    # An image without objects has an empty list, or a blank line.
    lists = {f"{number}.txt": b"0 0.25 0.275 0.3333 0.25\n" for number in range(18)}
    return {"classes.txt": b"nodule\n", **lists, "18.txt": b"", "19.txt": b"\n"}


@pytest.mark.parametrize("annotations", [coco, voc, yolo])
@pytest.mark.parametrize("folder", ["scans/", None])
def test_images_beside_their_annotations_are_read_as_detection(
    tmp_path: Path, annotations: Callable[[], dict[str, bytes]], folder: str | None
) -> None:
    contents = {**annotations(), **{f"{number}.png": scan(number) for number in range(20)}}
    files = []
    for name, content in contents.items():
        files.append(tmp_path / name)
        files[-1].write_bytes(content)
    paths = [folder + name if folder else None for name in contents]

    gathered = gather_folder(paths, files, tmp_path / "folder")

    report = import_dataset(gathered, tmp_path / "dataset", tasks=TASKS)
    assert (report.state, report.rows) == ("ready", 20), report.errors
    assert report.guess.task == "object_detection"
    assert report.classes == ["nodule"]


def test_clips_beside_their_transcripts_are_read_together(tmp_path: Path) -> None:
    contents = {f"{number}.txt": f"the clip number {number}".encode() for number in range(12)}
    files = [tmp_path / name for name in contents]
    for file, content in zip(files, contents.values(), strict=True):
        file.write_bytes(content)
    for number in range(12):
        files.append(tmp_path / f"{number}.wav")
        soundfile.write(files[-1], np.random.default_rng(number).normal(0, 0.1, 8000), 8000)

    [archive] = gather_folder([None] * len(files), files, tmp_path / "folder")

    report = import_dataset([archive], tmp_path / "dataset", tasks=TASKS)
    assert (report.state, report.rows) == ("ready", 12), report.errors


def test_a_list_beside_an_archive_stays_as_it_is(tmp_path: Path) -> None:
    files = write(tmp_path, ["photos.zip", "labels.csv", "1.png"])
    assert gather_folder([None] * 3, files, tmp_path / "folder") == files
