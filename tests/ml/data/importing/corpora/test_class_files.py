"""A file of texts for each class."""

from pathlib import Path

import pytest

from tests.support.ml.dataset_files import make_zip, upload

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima"]


def texts(start: int) -> bytes:
    rows = range(start, start + 60)
    return "".join(f"{' '.join(WORDS[row * step % 12] for step in range(2, 9))} {row}\n" for row in rows).encode()


@pytest.mark.parametrize("task", [None, "text_classification"])
@pytest.mark.parametrize("names", [("rt-polarity.pos", "rt-polarity.neg"), ("pos.txt", "neg.txt"), ("a_pos", "a_neg")])
def test_files_named_by_classes_are_classes_and_no_translations(
    tmp_path: Path, names: tuple[str, str], task: str | None
) -> None:
    contents = dict(zip(names, (texts(0), texts(60)), strict=True))
    loose = upload(tmp_path / "loose", contents, task=task)
    packed = upload(tmp_path / "packed", {"a.zip": make_zip(contents.items())}, task="text_classification")

    assert (loose.state, loose.classes, loose.accepted) == ("ready", ["neg", "pos"], 120)
    assert (packed.state, packed.classes, packed.accepted) == ("ready", ["neg", "pos"], 120)


def test_names_of_splits_before_the_class_hold(tmp_path: Path) -> None:
    files = {f"{split}.{word}": texts(start) for start, (split, word) in enumerate(
        [("train", "pos"), ("train", "neg"), ("test", "pos"), ("test", "neg")]
    )}  # fmt: skip
    report = upload(tmp_path, {name: content.replace(b" 1", b" x" + name.encode()) for name, content in files.items()})

    assert (report.classes, report.splits["test"] > 0, report.splits["train"] > report.splits["validation"]) == (
        ["neg", "pos"],
        True,
        True,
    )


def test_a_requested_format_reads_the_files_as_they_are(tmp_path: Path) -> None:
    report = upload(tmp_path, {"pos.txt": texts(0), "neg.txt": texts(60)}, format="plain_text")

    assert (report.state, report.accepted) == ("ready", 2)
