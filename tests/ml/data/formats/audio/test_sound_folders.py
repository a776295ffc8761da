"""Zips of class folders of audio files, as sounds and commands are published."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.importing.importer import import_dataset
from ml.data.report import ImportReport
from ml.tasks import TASKS
from tests.ml.data.formats.audio.test_recordings import write_zip
from tests.support.ml import samples

ROWS = 24
CLASSES = ("door_bell", "dog", "rain")
CLIPS = samples.VALUES["audio"](ROWS)


def make_wavs(folder: str = "") -> dict[str, bytes | str]:
    return {f"{folder}{CLASSES[row % 3]}/clip_{row:02}.wav": clip for row, clip in enumerate(CLIPS)}


def read(tmp_path: Path, files: dict[str, bytes | str], **options: Any) -> ImportReport:
    tmp_path.mkdir(exist_ok=True)
    sources = [write_zip(tmp_path / "sounds.zip", files)]
    return import_dataset(sources, tmp_path / "dataset", **{"tasks": dict(TASKS), **options})


def codes(report: ImportReport) -> set[str]:
    return {entry.code for entry in report.errors}


def read_rows(tmp_path: Path, column: str) -> dict[str, list[str]]:
    data = Dataset.open(tmp_path / "dataset")
    return {split: [row[column] for row in data.rows(split)] for split in data.summary.splits}


@pytest.mark.parametrize("folder", ["", "sounds/", "a/b/"])
@pytest.mark.parametrize("task", [None, "audio_classification"])
def test_class_folders_of_sounds_are_for_audio_classification(folder: str, task: str | None, tmp_path: Path) -> None:
    report = read(tmp_path, {**make_wavs(folder), "README.md": "notes"}, task=task)

    assert report.state == "ready", report.errors
    assert report.guess is not None
    assert (report.guess.format, report.guess.task) == ("sound_folders", "audio_classification")
    assert report.classes == sorted(CLASSES)
    assert report.accepted == ROWS
    assert codes(report) <= {"class_tiny", "class_missing_in_split"}


def test_the_folder_is_the_transcript_for_speech_recognition_and_is_reported(tmp_path: Path) -> None:
    report = read(tmp_path, make_wavs(), task="speech_recognition")

    assert report.state == "ready", report.errors
    texts = {text for split in read_rows(tmp_path, "text").values() for text in split}
    assert texts == {"door bell", "dog", "rain"}
    (issue,) = [entry for entry in report.errors if entry.code == "folders_as_texts"]
    assert issue.sample[0]["found"] == "3 folders, such as dog"


def test_split_folders_hold(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {}
    for row, clip in enumerate(CLIPS):
        split = "train" if row < 12 else "val" if row < 18 else "test"
        files[f"set/{split}/{CLASSES[row % 3]}/{row}.wav"] = clip

    report = read(tmp_path, files)

    assert (report.state, report.splits) == ("ready", {"train": 12, "validation": 6, "test": 6})


def test_lists_of_speech_commands_name_the_splits_and_noise_is_no_class(tmp_path: Path) -> None:
    names = list(make_wavs())
    files: dict[str, bytes | str] = {
        **make_wavs(),
        "_background_noise_/exercise_bike.wav": CLIPS[0],
        "README.md": "notes",
        "validation_list.txt": "".join(f"{name}\n" for name in names[:6]),
        "testing_list.txt": "".join(f"{name}\n" for name in names[6:12]),
    }

    report = read(tmp_path, files)

    assert (report.state, report.splits) == ("ready", {"train": 12, "validation": 6, "test": 6})
    assert report.classes == sorted(CLASSES)
    (noise,) = [entry for entry in report.errors if entry.code == "noise_folder_ignored"]
    assert noise.count == 1
    validation = Dataset.open(tmp_path / "dataset").rows("validation")
    assert sorted(row["label"] for row in validation) == sorted(name.split("/")[0] for name in names[:6])


def test_a_split_that_the_request_names_goes_before_a_list(tmp_path: Path) -> None:
    files = {**make_wavs(), "testing_list.txt": next(iter(make_wavs())) + "\n"}
    report = read(tmp_path, files, splits={"sounds.zip": "train"})
    assert report.splits["train"] > 12


def test_a_file_that_is_no_audio_is_reported(tmp_path: Path) -> None:
    report = read(tmp_path, {**make_wavs(), "dog/cover.jpg": b"\xff\xd8\xff", "dog/bad.wav": b"RIFF nonsense"})
    assert {"file_ignored", "audio_unknown_format"} <= codes(report)


def test_an_archive_without_audio_is_reported(tmp_path: Path) -> None:
    report = read(tmp_path, {"dog/a.jpg": b"\xff\xd8\xff"}, format="sound_folders")
    assert "archive_without_audio" in codes(report)


def test_one_folder_of_clips_has_no_classes(tmp_path: Path) -> None:
    files = {f"wavs/{row}.wav": clip for row, clip in enumerate(CLIPS)}
    report = read(tmp_path, files)
    assert report.guess is not None
    assert report.guess.format == "recordings"
    assert report.summary is not None
    assert report.summary.columns == {"audio": "audio"}


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("labels.csv", "file,label", "clip_{row}.wav,{label}"),
        ("metadata.csv", "file_name,label", "audio/clip_{row}.wav,{label}"),
        ("meta/esc50.csv", "filename,fold,target,category,esc10", "clip_{row}.wav,{fold},{code},{label},True"),
        (
            "metadata/UrbanSound8K.csv",
            "slice_file_name,fsID,start,end,salience,fold,classID,class",
            "clip_{row}.wav,1,7.5,9.5,1,{fold},{code},{label}",
        ),
        ("list.tsv", "path\tclass", "clip_{row}.wav\t{label}"),
    ],
)
@pytest.mark.parametrize("task", [None, "audio_classification"])
def test_tables_of_files_and_labels_are_read(
    name: str, header: str, row: str, task: str | None, tmp_path: Path
) -> None:
    lines = [
        row.format(row=number, label=CLASSES[number % 3], code=number % 3, fold=1 + number % 5)
        for number in range(ROWS)
    ]
    files: dict[str, bytes | str] = {f"audio/clip_{number}.wav": clip for number, clip in enumerate(CLIPS)}
    files[name] = "\n".join([header, *lines]) + "\n"

    report = read(tmp_path, files, task=task)

    assert report.state == "ready", report.errors
    assert report.guess is not None
    assert report.guess.task == "audio_classification"
    assert report.classes == sorted(CLASSES)
    assert report.accepted == ROWS
    assert Dataset.open(tmp_path / "dataset").rows("train")[0]["audio"].seconds < 0.5


def test_a_text_goes_before_a_label_unless_the_task_needs_labels(tmp_path: Path) -> None:
    lines = [f"{number}.wav,turn it on {number},{CLASSES[number % 3]}" for number in range(ROWS)]
    files: dict[str, bytes | str] = {f"{number}.wav": clip for number, clip in enumerate(CLIPS)}
    files["metadata.csv"] = "\n".join(["path,transcription,category", *lines])

    spoken = read(tmp_path / "a", files)
    labeled = read(tmp_path / "b", files, task="audio_classification")

    assert spoken.summary is not None
    assert spoken.summary.columns == {"audio": "audio", "text": "text"}
    assert labeled.classes == sorted(CLASSES)


def test_loose_clips_may_have_a_table_beside_them(tmp_path: Path) -> None:
    for number, clip in enumerate(CLIPS):
        (tmp_path / f"{number}.wav").write_bytes(clip)
    lines = [f"{number}.wav,{CLASSES[number % 3]}" for number in range(ROWS)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))

    report = import_dataset(sorted(tmp_path.iterdir()), tmp_path / "dataset", tasks=dict(TASKS))

    assert (report.state, report.classes) == ("ready", sorted(CLASSES)), report.errors


def test_lists_with_texts_beside_folders_of_speakers_are_manifests(tmp_path):
    lines = [f"{name}|{row % 3}|word {row}\n" for row, name in enumerate(make_wavs())]
    lists = {"audio_sid_text_train_filelist.txt": "".join(lines[:18]), "audio_val.txt": "".join(lines[18:])}
    report = read(tmp_path / "lists", {**make_wavs(), **lists}, task=None)

    assert report.guess is not None
    assert (report.guess.format, report.splits["validation"]) == ("recordings", 6)


def test_folders_named_like_speakers_are_reported(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"Actor_{row % 3:02}/03-{row}.wav": clip for row, clip in enumerate(CLIPS)}
    report = read(tmp_path, files)

    assert (report.state, "classes_may_be_speakers" in codes(report)) == ("ready", True)
    assert "classes_may_be_speakers" not in codes(read(tmp_path / "other", make_wavs()))
