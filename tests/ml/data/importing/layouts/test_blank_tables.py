import numpy as np

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_zip, sample, upload

ROWS = 60
RANDOM = np.random.default_rng(0)


def _numbers(count, *, places=2):
    return [f"{value:.{places}f}" for value in RANDOM.uniform(1, 90, count)]


def test_columns_divided_by_runs_of_blanks_are_a_table(tmp_path):
    lines = [f"P{i}_X  {'  '.join(_numbers(5))}  {('MIT', 'NUC', 'CYT')[i % 3]}" for i in range(ROWS)]
    report = upload(tmp_path, {"yeast.data": "\n".join(lines).encode()})
    assert report.guess is not None
    assert report.guess.task == "tabular_classification"
    assert report.classes == ["CYT", "MIT", "NUC"]
    assert "divided_by_blanks" in codes(report)


def test_blanks_at_the_start_and_in_quotes_divide_no_cells(tmp_path):
    lines = [f'  {"   ".join(_numbers(4))}   70\t"car {"abc"[i % 3]} x"' for i in range(ROWS)]
    report = upload(tmp_path, {"auto.data": "\n".join(lines).encode()}, columns={"label": 6})
    features = Dataset.open(tmp_path / "dataset").rows("train").columns["features"][0]
    assert list(features) == ["1", "2", "3", "4", "5"]
    assert report.classes == ["car a x", "car b x", "car c x"]


def test_some_tabs_more_than_columns_are_blanks(tmp_path):
    lines = [("\t\t" if i < 3 else "\t").join([*_numbers(6), str(i % 3 + 1)]) for i in range(ROWS)]
    report = upload(tmp_path, {"seeds_dataset.txt": "\n".join(lines).encode()})
    assert report.classes == ["1", "2", "3"]


def test_numbers_without_a_class_ask_for_the_target(tmp_path):
    lines = [" ".join(_numbers(8)) for _ in range(ROWS)]
    report = upload(tmp_path, {"housing.data": "\n".join(lines).encode()})
    assert (report.state, "target_not_named" in codes(report)) == ("rejected", True)
    named = upload(tmp_path / "named", {"housing.data": "\n".join(lines).encode()}, columns={"value": 8})
    assert named.guess is not None
    assert named.guess.task == "tabular_regression"


def test_sentences_of_equal_length_stay_texts(tmp_path):
    lines = [f"the cat {i} sat on mat" for i in range(ROWS)]
    assert "divided_by_blanks" not in codes(upload(tmp_path, {"a.txt": "\n".join(lines).encode()}))


def test_users_items_and_ratings_stay_a_log(tmp_path):
    lines = [f"{user} {(user * 7 + n * 3) % 31 + 1} {n % 5 + 1}" for user in range(1, 31) for n in range(6)]
    report = upload(tmp_path, {"ratings_data.txt": "\n".join(lines).encode()})
    assert report.guess is not None
    assert report.guess.task == "recommendation"
    assert dict(report.guess.columns) == {"user": 1, "item": 2, "rating": 3}


def test_numbers_in_texts_are_no_texts(tmp_path):
    members = []
    for split in ("train", "test"):
        members += [(f"{split}/X_{split}.txt", "\n".join("  ".join(_numbers(12)) for _ in range(ROWS)).encode())]
        members += [(f"{split}/y_{split}.txt", "\n".join(str(i % 6) for i in range(ROWS)).encode())]
    report = upload(tmp_path, {"har.zip": make_zip(members)})
    assert (report.state, "target_not_named" in codes(report)) == ("rejected", True)


def test_parts_of_a_table_are_no_translations(tmp_path):
    lines = [",".join([*(f"{i * 7 % 11}" for _ in range(6)), str(i % 3)]) for i in range(ROWS)]
    files = {"digits.tra": "\n".join(lines).encode(), "digits.tes": "\n".join(reversed(lines)).encode()}
    report = upload(tmp_path, files)
    assert report.guess is not None
    assert report.guess.format == "csv"


def test_a_description_beside_a_table_is_no_table(tmp_path):
    lines = [",".join([*_numbers(4), f"Iris-{('setosa', 'versicolor')[i % 2]}"]) for i in range(ROWS)]
    files = {"iris.data": "\n".join(lines).encode(), "iris.names": b"1. Title: Iris\n\n2. Sources\n"}
    report = upload(tmp_path, files)
    assert (report.state, sample(report, "file_beside_data")["file"]) == ("ready", "iris.names")


def test_lines_that_a_task_learns_as_texts_stay_as_they_are(tmp_path):
    lines = [" ".join(_numbers(8)) for _ in range(ROWS)]
    report = upload(tmp_path, {"a.txt": "\n".join(lines).encode()}, task="text_generation")
    assert "divided_by_blanks" not in codes(report)
    assert Dataset.open(tmp_path / "dataset").rows("train").columns["text"][0].startswith(lines[0])


def test_lines_of_a_log_are_no_table(tmp_path):
    lines = [f'10.0.0.{i} - - [10/Oct/2000:13:55:00 -0700] "GET /a{i} HTTP/1.0" 200 {2000 + i}' for i in range(ROWS)]
    assert "divided_by_blanks" not in codes(upload(tmp_path, {"access.log": "\n".join(lines).encode()}))


def test_two_columns_of_numbers_are_a_table(tmp_path):
    lines = [" ".join(_numbers(2)) for _ in range(ROWS)]
    report = upload(tmp_path, {"xy.txt": "\n".join(lines).encode()})
    assert (report.state, "target_not_named" in codes(report)) == ("rejected", True)
