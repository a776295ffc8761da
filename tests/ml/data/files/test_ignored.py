import pytest

from ml.data.files.ignored import is_ignored, is_tool_file
from tests.support.ml import annotations
from tests.support.ml.dataset_files import codes, make_zip, upload


@pytest.mark.parametrize(
    "name", ["README", "a.zip/README.dataset.txt", "readme.roboflow.txt", "x/LICENSE.md", "_about.txt"]
)
def test_a_file_is_ignored_by_the_first_word_of_its_name(name):
    assert is_ignored(name)


@pytest.mark.parametrize("name", ["readmes.csv", "p1.txt", "license_plates.txt", "metadata.csv", ".txt"])
def test_data_files_are_not_ignored(name):
    assert not is_ignored(name)


@pytest.mark.parametrize("name", ["SHA256SUMS", "md5sum.txt", "a/checksums.txt", "train.csv.sha256", "MD5SUMS.asc"])
def test_a_list_of_hashes_is_no_data(name):
    assert is_tool_file(name)


@pytest.mark.parametrize("name", ["sums.txt", "train.sha", "check.csv", "sha.txt"])
def test_other_names_are_no_lists_of_hashes(name):
    assert not is_tool_file(name)


def test_a_long_text_beside_a_list_of_hashes_is_prose(tmp_path):
    play = "".join(f"First Citizen:\nWe are {number}, and many.\n\n" for number in range(400))
    report = upload(tmp_path, {"input.txt": play.encode(), "SHA256SUMS": b"0" * 64 + b"  input.txt\n"})

    assert report.summary is not None
    assert (report.summary.format, codes(report)) == ("plain_text", {"file_beside_data"})


def test_the_readme_in_a_published_yolo_zip_is_no_annotation(tmp_path):
    notes = {"README.dataset.txt": b"# cells", "README.roboflow.txt": b"\ncells - v1\n"}
    report = upload(tmp_path, {"cells.zip": make_zip((annotations.make_yolo() | notes).items())})
    assert (report.state, codes(report)) == ("ready", set())
