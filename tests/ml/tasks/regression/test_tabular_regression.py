"""Numbers from tables: learned and predicted in the unit of the target."""

import random

import numpy as np
import pytest

from ml.inference.predictor import Predictor
from tests.support.ml.dataset_files import upload
from tests.support.ml.digits import run, spec


def rent(area, district):
    return 500 + area * {"center": 14.0, "harbor": 12.0, "hills": 9.0}[district]


def make_table(count=300):
    """Rents by area and district; some districts are missing."""
    generator = random.Random(0)
    rows = ["area;district;rent"]
    for number in range(count):
        area, district = generator.uniform(20, 120), generator.choice(["center", "harbor", "hills"])
        shown = "" if number % 20 == 0 else district
        target = rent(area, district) + generator.gauss(0, 10)
        rows.append(f"{area:.2f};{shown};{target:.2f}".replace(".", ","))
    return "\n".join(rows).encode()


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rents")
    report = upload(folder, {"rents.csv": make_table()}, columns={"value": "rent"})
    assert (report.state, report.guess.task) == ("ready", "tabular_regression")
    assert report.summary.facts["features"]["columns"]["area"]["kind"] == "decimal_comma"
    return run(folder / "dataset", folder, spec("finetune", task="tabular_regression", schedule={}))


def test_the_report_has_metrics_of_the_model_a_baseline_and_a_reference(result):
    report = result.report

    assert report["metrics"]["r2"] > 0.9
    assert abs(report["baseline"]["r2"]) < 0.5
    assert report["metrics"]["rmse"] < report["baseline"]["rmse"] / 3
    assert report["reference"]["metrics"].keys() == {"rmse", "mae", "r2"}
    assert report["intervals"]["rmse"][0] < report["metrics"]["rmse"] < report["intervals"]["rmse"][1]
    assert "validation/mean_absolute_error" in result.metrics


def test_a_prediction_is_in_the_unit_of_the_target(result):
    predictor = Predictor.load(result.package)
    inputs = [{"area": area, "district": district} for area in (40, 90) for district in ("center", "hills")]

    outputs = [output["value"] for output in predictor.predict(inputs)]
    np.testing.assert_allclose(outputs, [rent(**row) for row in inputs], rtol=0.1)
    assert predictor.predict([{"area": "90,0", "district": "hills"}])[0]["value"] == pytest.approx(outputs[3])


def test_a_constant_target_is_learned_without_a_division_by_zero(tmp_path):
    rows = "".join(f"{row % 7}.5,{row % 5},2.5\n" for row in range(60))
    upload(tmp_path, {"a.csv": f"x,y,value\n{rows}".encode()}, task="tabular_regression")

    result = run(tmp_path / "dataset", tmp_path, spec("finetune", task="tabular_regression", schedule={"epochs": 1}))
    assert result.metrics["test/rmse"] == pytest.approx(0, abs=1)
    assert result.report["reference"]["metrics"] == {}
