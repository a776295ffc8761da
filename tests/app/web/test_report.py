"""Reports in words, and what the matrix and the mistakes show."""

from __future__ import annotations

from typing import Any

import pytest

from app.web import report
from ml.spec.catalog import Catalog

METRICS = Catalog.load().tasks["image_classification"].metrics


def line(**fields: Any) -> report.MetricLine:
    document = {
        "metrics": {fields.get("name", "accuracy"): fields["value"]},
        "baseline": {fields.get("name", "accuracy"): fields.get("baseline")},
        "intervals": {fields.get("name", "accuracy"): fields["interval"]} if "interval" in fields else {},
    }
    (only,) = report.metric_lines(document, METRICS)
    return only


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"value": 0.9, "baseline": 0.5, "interval": [0.8, 0.95]}, "better"),
        ({"value": 0.6, "baseline": 0.5, "interval": [0.4, 0.7]}, "unclear"),
        ({"value": 0.4, "baseline": 0.5, "interval": [0.3, 0.6]}, "worse"),
        ({"value": 0.9, "baseline": None}, ""),
        ({"name": "loss", "value": 0.2, "baseline": 0.7}, "better"),
        ({"name": "loss", "value": 0.9, "baseline": 0.7}, "worse"),
    ],
)
def test_a_metric_is_compared_with_the_trivial_model(fields: dict[str, Any], verdict: str) -> None:
    assert line(**fields).verdict == verdict


def test_only_fractions_are_drawn_as_bars() -> None:
    assert line(value=0.9, baseline=0.5, interval=[0.8, 1.0]).is_fraction
    assert not line(name="loss", value=0.9, baseline=0.5).is_fraction


def test_the_first_metric_is_stated_in_cases_of_100() -> None:
    text = report.in_words(line(value=0.9, baseline=0.5, interval=[0.8, 0.95]), 1200)
    assert text == (
        "On 1,200 rows that training never saw, the model is right in 90 of 100 cases; with other rows of the same "
        "kind, expect 80 to 95. Answering the same class every time would be right in 50 of 100."
    )
    assert report.in_words(line(name="loss", value=0.25), None).endswith("the loss is 0.25.")


def test_a_large_matrix_becomes_a_list_of_confusions() -> None:
    count = report.MAX_MATRIX_CLASSES + 1
    rows = [[5 if column == row else 0 for column in range(count)] for row in range(count)]
    rows[3][4], rows[7][1] = 2, 9
    document = {"classes": [str(number) for number in range(count)], "confusion_matrix": rows}
    assert report.matrix(document) == []
    assert [(cell.true, cell.predicted, cell.count) for cell in report.confusions(document)] == [
        ("7", "1", 9),
        ("3", "4", 2),
    ]


@pytest.mark.parametrize(
    ("document", "indices"),
    [
        ({"errors": [{"index": 4}, {"index": 2}]}, [4, 2]),
        ({"errors": [], "worst": [{"row": 9, "expected": "a", "found": "b"}]}, [9]),
        ({"errors": [{"message": "without a row"}, "text"]}, []),
        ({}, []),
    ],
)
def test_mistakes_of_every_task_have_the_index_of_their_row(document: dict[str, Any], indices: list[int]) -> None:
    assert [item["index"] for item in report.mistakes(document)] == indices


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (3, "3"), (1234567, "1,234,567"), (0.12345678, "0.1235"), (2.0, "2"), ("a", "a")]
)
def test_numbers_are_written_for_people(value: Any, text: str) -> None:
    assert report.show(value) == text
