"""Classes from tables: learned beside gradient boosting, with missing values and unknown categories."""

import json
import random

import pytest

from ml.errors import InputError
from ml.inference.predictor import Predictor
from ml.tasks import TASKS
from tests.support.ml.dataset_files import upload
from tests.support.ml.digits import run, spec

COLUMNS = ["plant id", "length (cm)", "width", "site", "planted", "species"]


def make_table(count=240):
    """Plants of three kinds, which two lengths separate; some widths are missing."""
    generator = random.Random(0)
    sizes = {"reed": (9, 1), "fern": (5, 3), "moss": (1, 2)}
    rows = [",".join(COLUMNS)]
    for number in range(count):
        species = generator.choice(list(sizes))
        length, width = (generator.gauss(mean, 0.4) for mean in sizes[species])
        site, day = generator.choice(["shore", "wood"]), f"2026-0{1 + number % 9}-1{number % 10}"
        shown = "" if number % 8 == 0 else f"{width:.3f}"
        rows.append(f"p{number},{length:.3f},{shown},{site},{day},{species}")
    return "\n".join(rows).encode()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plants")
    report = upload(folder, {"plants.csv": make_table()}, columns={"label": "species"})
    assert (report.state, report.guess.task) == ("ready", "tabular_classification")
    return run(folder / "dataset", folder, spec("finetune", task="tabular_classification", schedule={}))


@pytest.fixture(scope="module")
def predictor(result):
    return Predictor.load(result.package)


def test_the_report_has_metrics_of_the_model_a_baseline_and_a_reference(result):
    report = result.report

    assert report["metrics"]["accuracy"] > 0.9 > report["baseline"]["accuracy"]
    assert report["reference"]["model"].endswith("HistGradientBoostingClassifier")
    assert report["reference"]["metrics"].keys() == report["metrics"].keys()
    assert report["reference"]["metrics"]["accuracy"] > 0.9
    assert report["reference"]["rows"] == 192
    assert report["features"] == {"read": ["length (cm)", "width", "site", "planted"], "omitted": ["plant id"]}


def test_an_input_is_a_field_for_each_column(predictor):
    inputs = [
        {"length (cm)": 9.1, "width": 1.1, "site": "wood", "planted": "2026-05-11"},
        {"length (cm)": 5, "width": 3},
        {"length (cm)": 1.1, "width": None, "site": "a place that training did not contain"},
    ]

    assert [output["label"] for output in predictor.predict(inputs)] == ["reed", "fern", "moss"]


def test_a_column_of_the_training_data_that_is_not_read_changes_nothing(predictor):
    assert predictor.predict([{"length (cm)": 9.1, "plant id": "p7"}]) == predictor.predict([{"length (cm)": 9.1}])
    assert "plant id" in predictor.adapter.input_schema()["description"]
    with pytest.raises(InputError, match="at least one field of length"):
        predictor.predict([{"plant id": "p7"}])
    with pytest.raises(InputError, match="no field named 'lenght'"):
        predictor.predict([{"lenght": 9.1}])


def test_the_signature_has_the_columns_of_the_model(predictor):
    signature = predictor.signature()

    assert list(signature["input_schema"]["properties"]) == ["length (cm)", "width", "site", "planted"]
    assert set(signature["example"]["input"]) == {"length (cm)", "width", "site"}
    assert signature["example"]["output"]["label"] in ("reed", "fern", "moss")
    json.dumps(signature)


def test_the_reference_can_be_left_out(tmp_path):
    upload(tmp_path, {"plants.csv": make_table(60)}, columns={"label": "species"})
    task = {"name": "tabular_classification", "config": {"reference": False}}

    result = run(tmp_path / "dataset", tmp_path, spec("finetune", task=task, schedule={"epochs": 1}))
    assert "reference" not in result.report


def test_kinds_of_columns_can_be_set_in_the_spec(tmp_path):
    upload(tmp_path, {"plants.csv": make_table(60)}, columns={"label": "species"})
    kinds = {"width": "omitted", "planted": "category"}
    request = spec(
        "finetune",
        task="tabular_classification",
        encoders={"features": {"kinds": kinds}},
        schedule={"epochs": 1},
    )

    task = run(tmp_path / "dataset", tmp_path, request).package.task()
    assert task.kinds == {"length (cm)": "number", "site": "category", "planted": "category"}


def test_a_table_of_one_class_is_refused(tmp_path):
    rows = "".join(f"{row % 7}.5,{row % 5},a\n" for row in range(60))
    report = upload(tmp_path, {"a.csv": f"x,y,label\n{rows}".encode()}, task="tabular_classification")

    assert report.state == "rejected"
    assert TASKS["tabular_classification"].name == report.guess.task
