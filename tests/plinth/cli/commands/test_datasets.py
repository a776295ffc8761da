"""`plinth upload` and `plinth datasets`: what was read, previews, deletion."""

import json
from pathlib import Path

import pytest

from tests.plinth.cli.commands.conftest import Run

pytestmark = pytest.mark.process


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    path = tmp_path / "moods.csv"
    path.write_text(
        "text,label\n" + "".join(f"a {'good' if row % 2 else 'bad'} day {row},{row % 2}\n" for row in range(40))
    )
    return path


def test_an_upload_prints_which_columns_it_took_and_as_what(plinth_command: Run, moods: Path) -> None:
    uploaded = plinth_command("upload", str(moods), "--name", "guessed")
    assert "read: text, label" in uploaded.stdout, uploaded.stdout + uploaded.stderr
    assert "task text_classification" in uploaded.stdout
    assert "--columns" in uploaded.stdout
    document = json.loads(plinth_command("upload", str(moods), "--name", "guessed", "--json").stdout)
    assert (document["version"], document["state"], document["report"]["accepted"]) == (2, "ready", 40)


def test_an_unknown_column_is_reported_with_the_known_ones(plinth_command: Run, moods: Path) -> None:
    rejected = plinth_command("upload", str(moods), "--name", "wrong", "--columns", "text=mesage,label=label")
    assert rejected.returncode == 1
    assert "mesage" in rejected.stdout + rejected.stderr
    assert "text, label" in rejected.stdout + rejected.stderr


@pytest.mark.parametrize("columns", ["text", "=message", "text="])
def test_columns_that_are_no_assignment_get_an_example(plinth_command: Run, moods: Path, columns: str) -> None:
    failed = plinth_command("upload", str(moods), "--columns", columns, columns=200)
    assert failed.returncode == 2
    assert "text=message" in failed.stderr


def test_an_invalid_name_is_explained_in_words(plinth_command: Run, moods: Path) -> None:
    failed = plinth_command("upload", str(moods), "--name", "my moods!")
    assert failed.returncode == 1
    assert "letters, digits" in failed.stderr
    assert "[A-Za-z" not in failed.stderr


def test_a_version_is_shown_and_its_rows_are_previewed(plinth_command: Run, moods: Path) -> None:
    plinth_command("upload", str(moods), "--name", "shown")
    shown = plinth_command("datasets", "show", "shown").stdout
    assert "text_classification" in shown
    assert "train" in shown
    previewed = plinth_command("datasets", "preview", "shown", "--split", "test", "--limit", "2").stdout.splitlines()
    assert previewed[0].split() == ["row", "text", "target"]
    assert len(previewed) == 3
    rows = json.loads(plinth_command("datasets", "preview", "shown", "--limit", "1", "--json").stdout)["data"]
    assert set(rows[0]) == {"index", "input", "target", "titles", "file", "row", "line"}
    dataset_id = json.loads(plinth_command("datasets", "show", "shown", "--json").stdout)["id"]
    assert json.loads(plinth_command("datasets", "show", dataset_id[:-2], "--json").stdout)["id"] == dataset_id


def test_deletion_says_what_it_takes_and_needs_consent(plinth_command: Run, moods: Path) -> None:
    for _ in range(3):
        plinth_command("upload", str(moods), "--name", "doomed")
    unasked = plinth_command("datasets", "delete", "doomed", columns=200)
    assert unasked.returncode == 2
    assert "all 3 versions: doomed@3, doomed@2, doomed@1" in unasked.stderr
    assert "--yes" in unasked.stderr
    one = plinth_command("datasets", "delete", "doomed@2", "--yes")
    assert one.stdout.startswith("Deleted doomed@2 ("), one.stderr
    both = plinth_command("datasets", "delete", "doomed", "--yes")
    assert both.stdout.startswith("Deleted all 2 versions: doomed@3, doomed@1"), both.stderr
    assert plinth_command("datasets", "show", "doomed").returncode == 1


def test_a_rejected_upload_names_the_command_that_leaves_bad_rows_out(plinth_command: Run, moods: Path) -> None:
    moods.write_text(moods.read_text() + "one,two,three,four\n")
    uploaded = plinth_command("upload", str(moods), "--name", "ragged")
    assert "plinth datasets fix ragged@1" in uploaded.stdout, uploaded.stdout + uploaded.stderr
    trained = plinth_command("train", "ragged")
    assert trained.returncode == 1
    assert "ragged@1 was rejected. See why: plinth datasets report ragged@1" in trained.stderr
