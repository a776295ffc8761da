"""Features and target of tables of measurements, in every table format."""

import json

import pyarrow as pa
import pytest

from ml.data.dataset import Dataset
from tests.support.ml.dataset_files import codes, make_parquet, sample, upload

ROWS = 60


def make_files(columns):
    """Return the same table as CSV, TSV, JSON lines and Parquet."""
    names, rows = list(columns), list(zip(*columns.values(), strict=True))
    lines = {sign: [sign.join(names), *(sign.join(map(str, row)) for row in rows)] for sign in (",", "\t")}
    objects = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    return {
        "a.csv": "\n".join([*lines[","], ""]).encode(),
        "a.tsv": "\n".join([*lines["\t"], ""]).encode(),
        "a.jsonl": "\n".join([*objects, ""]).encode(),
        "a.parquet": make_parquet({name: pa.array(list(values)) for name, values in columns.items()}),
    }


HOUSES = {
    "id": [row * 3 for row in range(ROWS)],
    "area": [50.5 + row * 7 % 90 for row in range(ROWS)],
    "kind": [("flat", "house", "villa")[row % 3] for row in range(ROWS)],
    "garden": [row % 2 == 0 for row in range(ROWS)],
    "built": [f"19{50 + row % 50}-0{1 + row % 9}-11" for row in range(ROWS)],
    "label": [(row * 7 % 90) * 2.5 + 10 for row in range(ROWS)],
}
FEATURES = "id + area + kind + garden + built"


@pytest.mark.parametrize("file", list(make_files(HOUSES)))
def test_a_table_is_read_alike_in_every_format(tmp_path, file):
    report = upload(tmp_path, {file: make_files(HOUSES)[file]})

    assert (report.state, report.guess.task) == ("ready", "tabular_regression")
    assert report.guess.columns == {"features": FEATURES, "value": "label"}
    assert codes(report) == {"feature_omitted"}
    assert sample(report, "feature_omitted")["found"] == "id: it is an id: no value occurs twice"
    kinds = {name: column["kind"] for name, column in report.summary.facts["features"]["columns"].items()}
    assert kinds == {"id": "omitted", "area": "number", "kind": "category", "garden": "category", "built": "date"}
    row = Dataset.open(tmp_path / "dataset").rows("test")[0]
    original = row["features"]["id"] // 3
    assert row["value"] == HOUSES["label"][original]
    assert row["features"] == {name: values[original] for name, values in HOUSES.items() if name != "label"}


@pytest.mark.parametrize("name", ["label", "target", "class", "y", "Label"])
def test_a_usual_name_of_a_target_is_one(tmp_path, name):
    columns = {"a": HOUSES["area"], "b": HOUSES["label"], name: HOUSES["kind"]}
    report = upload(tmp_path, {"a.csv": make_files(columns)["a.csv"]})

    assert (report.guess.task, report.guess.columns["label"], codes(report)) == ("tabular_classification", name, set())


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([row % 2 for row in range(ROWS)], "tabular_classification"),
        ([3 + row % 6 for row in range(ROWS)], "tabular_classification"),
        ([row * 37 % 101 for row in range(ROWS)], "tabular_regression"),
        ([row % 3 + 0.5 for row in range(ROWS)], "tabular_regression"),
        ([f"c{row % 3}" for row in range(ROWS)], "tabular_classification"),
    ],
)
def test_the_values_of_the_target_decide_between_classes_and_numbers(tmp_path, values, task):
    columns = {"a": HOUSES["area"], "b": HOUSES["label"], "y": values}

    assert upload(tmp_path, {"a.csv": make_files(columns)["a.csv"]}).guess.task == task


def test_a_task_decides_how_its_target_is_read(tmp_path):
    quality = {"a": HOUSES["area"], "b": HOUSES["label"], "quality": [3 + row % 6 for row in range(ROWS)]}
    data = make_files(quality)["a.csv"]
    columns = {"label": "quality"}

    regression = upload(tmp_path / "one", {"a.csv": data}, task="tabular_regression", columns=columns)
    assert (regression.state, regression.guess.columns["value"], regression.classes) == ("ready", "quality", None)
    classes = upload(tmp_path / "two", {"a.csv": data}, task="tabular_classification", columns=columns)
    assert (classes.state, classes.classes) == ("ready", list("345678"))


@pytest.mark.parametrize("target", ["target", "value", "label"])
def test_a_requested_target_may_have_any_name_of_one(tmp_path, target):
    columns = {"a": HOUSES["area"], "b": HOUSES["kind"], "price": HOUSES["label"]}
    report = upload(tmp_path, {"a.csv": make_files(columns)["a.csv"]}, columns={target: "price"})

    assert (report.guess.task, report.guess.columns) == ("tabular_regression", {"features": "a + b", "value": "price"})


def test_requested_features_are_the_only_ones(tmp_path):
    data = make_files(HOUSES)["a.csv"]
    report = upload(tmp_path, {"a.csv": data}, columns={"features": "area + kind", "label": "label"})

    assert report.guess.columns == {"features": "area + kind", "value": "label"}
    assert {entry["column"] for entry in report.errors[0].sample} == {"garden", "built"}
    report = upload(tmp_path / "one", {"a.csv": data}, columns={"features": "label", "label": "label"})
    assert codes(report) == {"no_features"}


@pytest.mark.parametrize("task", [None, "tabular_regression", "tabular_classification"])
def test_a_target_that_is_not_named_is_asked_for(tmp_path, task):
    columns = {"a": HOUSES["area"], "b": HOUSES["label"], "c": HOUSES["area"]}
    report = upload(tmp_path, {"a.csv": make_files(columns)["a.csv"]}, task=task)

    assert (report.state, codes(report)) == ("rejected", {"target_not_named"})
    assert sample(report, "target_not_named")["found"] == "columns a, b, c"


def test_categories_alone_are_measurements(tmp_path):
    columns = {
        name: [("x", "y", "z")[row * factor % 3] for row in range(ROWS)]
        for name, factor in {"a": 1, "b": 2, "c": 4}.items()
    }
    columns["class"] = ["edible" if row % 3 else "poisonous" for row in range(ROWS)]
    report = upload(tmp_path, {"a.csv": make_files(columns)["a.csv"]})

    assert (report.state, report.guess.task) == ("ready", "tabular_classification")
    assert report.splits == {"train": 48, "validation": 6, "test": 6}  # equal rows are no copies


def test_short_names_of_rows_are_no_texts_to_learn_from(tmp_path):
    columns = {"plant": [f"p{row}" for row in range(ROWS)], "a": HOUSES["area"], "b": HOUSES["area"]}
    report = upload(tmp_path, {"a.csv": make_files({**columns, "kind": HOUSES["kind"]})["a.csv"]})

    assert (report.state, report.guess.task) == ("ready", "tabular_classification")
    assert sample(report, "feature_omitted")["found"] == "plant: it is an id: no value occurs twice"


def test_rows_without_a_target_are_left_out_of_a_regression(tmp_path):
    rows = "".join(f"{row},{row % 7},{'' if row == ROWS - 1 else row * 1.5}\n" for row in range(ROWS))
    report = upload(tmp_path, {"a.csv": f"a,b,y\n{rows}".encode()})

    assert (report.state, report.accepted, report.repaired) == ("ready", ROWS - 1, 1)
    assert sample(report, "value_missing")["row"] == ROWS


def test_repeated_and_empty_names_get_their_position(tmp_path):
    rows = "".join(f"{row},{row % 7},{row % 5}.5,{row % 3}\n" for row in range(ROWS))
    upload(tmp_path, {"a.csv": f",a,a,label\n{rows}".encode()})

    row = Dataset.open(tmp_path / "dataset").rows("train")[0]["features"]
    assert list(row) == ["1", "a", "a.3"]


def test_a_table_with_a_named_text_is_one_of_texts(tmp_path):
    rows = "".join(f"what it was {row},{row % 7},{row % 5},{row % 3},{row % 4},{row % 2}\n" for row in range(ROWS))
    data = f"text,a,b,c,d,label\n{rows}".encode()

    assert upload(tmp_path / "one", {"a.csv": data}).guess.task == "text_classification"
    report = upload(tmp_path / "two", {"a.csv": data}, task="tabular_classification")
    assert (report.state, report.guess.columns["features"]) == ("ready", "text + a + b + c + d")


def _measure(row):
    return [f"{(row * 7 + column * 13) % 97 / 7:.2f}" for column in range(6)]


def test_the_last_column_of_a_table_without_names_is_the_class(tmp_path):
    lines = [", ".join([*_measure(row), "Private", str(row % 4), ("<=50K", ">50K")[row % 2]]) for row in range(60)]
    report = upload(tmp_path, {"adult.data": "\n".join(lines).encode()})
    assert report.classes == ["<=50K", ">50K"]
    assert "label_column_guessed" in codes(report)


def test_the_first_column_is_the_class_if_most_others_are_measured(tmp_path):
    lines = [",".join([str(row % 3 + 1), *_measure(row)]) for row in range(60)]
    report = upload(tmp_path, {"wine.data": "\n".join(lines).encode()})
    assert report.classes == ["1", "2", "3"]


def test_classes_at_both_ends_of_a_table_without_names_are_asked_for(tmp_path):
    lines = [",".join(["ep"[row % 2], "xbs"[row % 3], "ny"[row % 2], "xbs"[row % 3]]) for row in range(60)]
    report = upload(tmp_path, {"mushroom.data": "\n".join(lines).encode()})
    assert (report.state, "target_not_named" in codes(report)) == ("rejected", True)


@pytest.mark.parametrize("name", ["fold", "kfold", "cv_fold", "Fold"])
def test_folds_of_a_cross_validation_are_no_feature(tmp_path, name):
    files = {"a.csv": make_files({name: [row % 5 for row in range(ROWS)], **HOUSES})["a.csv"]}
    report = upload(tmp_path, files)
    assert name in str(sample(report, "details_not_read"))
    requested = upload(tmp_path / "requested", files, columns={"features": f"{FEATURES} + {name}"})
    assert "details_not_read" not in codes(requested)
