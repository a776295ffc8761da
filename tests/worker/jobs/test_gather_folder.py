"""Files of a folder that a browser sent are read with their paths."""

from __future__ import annotations

import zipfile
from pathlib import Path

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


def test_files_of_one_folder_are_read_in_turn(tmp_path: Path) -> None:
    paths = ["mnist/1.png", "mnist/2.png", None]
    files = write(tmp_path, ["1.png", "2.png", "3.png"])
    assert gather_folder(paths, files, tmp_path / "folder") == files
    assert not (tmp_path / "folder").exists()
