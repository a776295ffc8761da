import pytest

from ml.data.files.ignored import is_ignored
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


def test_the_readme_in_a_published_yolo_zip_is_no_annotation(tmp_path):
    notes = {"README.dataset.txt": b"# cells", "README.roboflow.txt": b"\ncells - v1\n"}
    report = upload(tmp_path, {"cells.zip": make_zip((annotations.make_yolo() | notes).items())})
    assert (report.state, codes(report)) == ("ready", set())
