"""Numbers that stand for a missing one, in the target and in features."""

from pathlib import Path

import pytest

from ml.data.dataset import SPLITS, Dataset
from tests.support.ml.dataset_files import codes, count, sample, upload

ROWS = 60


def as_csv(mark: str, *, offset: float = 0.0, column: str = "price", every: int = 10) -> bytes:
    rows = []
    for row in range(ROWS):
        cells = {"a": f"{row % 7 + 0.5}", "b": f"{row % 5 + 0.25}", "c": f"{row % 11}", "d": f"{row % 3}.5"}
        cells |= {"price": f"{row + 1.5 + offset}"}
        cells |= {column: mark} if row % every == 0 else {}
        rows.append(",".join(cells.values()))
    return "\n".join(["a,b,c,d,price", *rows, ""]).encode()


@pytest.mark.parametrize(("mark", "offset"), [("-999", 0.0), ("-9999.0", -30.0), ("9999.9", 0.0), ("-99", 1000.0)])
def test_a_target_that_means_none_is_left_out_and_reported(tmp_path: Path, mark: str, offset: float) -> None:
    report = upload(tmp_path, {"a.csv": as_csv(mark, offset=offset)})
    assert (report.state, report.accepted) == ("ready", ROWS - 6)
    assert (count(report, "number_means_none"), float(str(sample(report, "number_means_none")["found"]))) == (
        6,
        float(mark),
    )
    dataset = Dataset.open(tmp_path / "dataset")
    values = [value for split in SPLITS for value in dataset.rows(split).columns["value"]]
    assert float(mark) not in values
    facts = dataset.summary.facts["value"]
    assert (facts["min"], facts["max"]) == (min(values), max(values))


@pytest.mark.parametrize(
    ("mark", "offset", "every"),
    [
        ("-99", -120.0, 10),  # among other negative numbers
        ("999", 900.0, 10),  # among others of its size
        ("-999", 0.0, 100),  # once
        ("-3", 0.0, 10),
    ],
)
def test_measured_numbers_stay(tmp_path: Path, mark: str, offset: float, every: int) -> None:
    report = upload(tmp_path, {"a.csv": as_csv(mark, offset=offset, every=every)})
    assert report.accepted == ROWS
    assert not codes(report) & {"number_means_none", "number_may_mean_none"}


def test_a_lone_minus_one_is_learned_from_and_reported(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.csv": as_csv("-1")})
    assert (report.accepted, sample(report, "number_may_mean_none")["found"]) == (ROWS, "-1: 6 rows")


def test_a_feature_that_may_mean_none_is_reported(tmp_path: Path) -> None:
    report = upload(tmp_path, {"a.csv": as_csv("-999", column="b")})
    assert (report.accepted, sample(report, "feature_may_mean_none")["column"]) == (ROWS, "b")
