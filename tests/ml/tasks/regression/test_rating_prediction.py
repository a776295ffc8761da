"""Ratings: ids are categories, users are in all splits, and unknown ones are answered."""

import random
from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.inference.predictor import Predictor
from ml.tasks.regression.rating_prediction import _choose_kind
from tests.support.ml.dataset_files import upload
from tests.support.ml.digits import run, spec

USERS = 60
FILMS = 40


def rate(user: int, film: int) -> float:
    """Return the rating by the tastes of two groups, whose numbers alternate."""
    return 4.0 if user % 2 == film % 2 else 2.0


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("ratings")
    generator = random.Random(0)
    pairs = [(user, film) for user in range(USERS) for film in range(FILMS) if generator.random() < 0.6]
    times = [generator.randrange(1_600_000_000, 1_700_000_000) for _ in pairs]
    rows = [f"{user},{film},{rate(user, film)},{time}" for (user, film), time in zip(pairs, times, strict=True)]
    table = "\n".join(["userId,movieId,rating,timestamp", *rows]).encode()
    report = upload(folder, {"ratings.csv": table}, task="rating_prediction", columns={"value": "rating"})
    assert (report.state, report.errors) == ("ready", [])
    return run(folder / "dataset", folder, spec("finetune", task="rating_prediction", schedule={"epochs": 30}))


def test_a_table_without_users_and_items_is_refused_and_one_with_them_is_not_guessed(tmp_path: Path) -> None:
    rows = [(row % 12, row % 7, row % 5 + 0.5) for row in range(90)]
    for names, task, outcome in (
        ("length,width,value", "rating_prediction", "rejected"),
        ("user_id,item_id,value", "rating_prediction", "ready"),
        ("user_id,item_id,value", None, "ready"),
    ):
        table = "\n".join([names, *(",".join(map(str, row)) for row in rows)]).encode()
        report = upload(tmp_path / f"{names}-{task}", {"a.csv": table}, task=task, format="csv")
        assert report.state == outcome, report.errors
        if task is None:
            assert report.guess.task == "tabular_regression"
        elif outcome == "rejected":
            assert "such as userId and itemId; the dataset has length, width" in str(report.errors)


@pytest.mark.parametrize(
    "name", ["userId", "user_id", "userid", "movie", "hotel id", "PRODUCT_ID", "asin", "hotelId", "hotelid", "shopid"]
)
def test_ids_are_categories_though_they_are_numbers(name: str) -> None:
    assert _choose_kind(name, "number") == "category"


@pytest.mark.parametrize(
    "name", ["price_paid", "bid", "humid", "prepaid", "asteroid", "liquid", "age", "price", "1", ""]
)
def test_numbers_that_measure_something_stay_numbers(name: str) -> None:
    assert _choose_kind(name, "number") == "number"


def test_every_user_is_in_all_splits(result: Any) -> None:
    dataset = Dataset.open(Path(result.package.directory).parent / "dataset")
    users = {split: {row["features"]["userId"] for row in dataset.rows(split)} for split in ("train", "test")}

    assert len(users["train"]) == USERS
    assert users["test"] <= users["train"]


def test_tastes_are_learned_that_no_bias_expresses(result: Any) -> None:
    report = result.report

    # All ratings of a user, and of a film, have the same mean: biases explain nothing.
    assert report["reference"]["metrics"]["rmse"] > 0.9
    assert report["metrics"]["rmse"] < report["reference"]["metrics"]["rmse"] / 3
    assert report["features"] == {"read": ["userId", "movieId"], "omitted": ["timestamp"]}


def test_ids_are_the_same_as_numbers_and_as_texts_and_unknown_ones_get_the_mean(result: Any) -> None:
    number, text, other, unknown = (
        output["value"]
        for output in Predictor.load(result.package).predict(
            [
                {"userId": 2, "movieId": 4},
                {"userId": "2", "movieId": "4"},
                {"userId": 2, "movieId": 5},
                {"userId": "nobody", "movieId": 5},
            ]
        )
    )

    assert number == text == pytest.approx(4, abs=0.7)
    assert other == pytest.approx(2, abs=0.7)
    assert 2.2 < unknown < 3.8
