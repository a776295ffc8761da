"""Results of reports in sentences, as a manager reads them."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.descriptions.report_summary import summarize


def sentence(**fields: Any) -> str:
    name, value = fields.pop("name", "accuracy"), fields.pop("value")
    report: dict[str, Any] = {"metrics": {name: value, **fields.pop("others", {})}, "rows": fields.pop("rows", None)}
    if "baseline" in fields:
        report["baseline"] = {name: fields.pop("baseline")}
    if "interval" in fields:
        report["intervals"] = {name: fields.pop("interval")}
    text = summarize(report | fields)
    assert text is not None
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_accuracy_is_stated_in_rows_that_exist() -> None:
    assert sentence(value=0.9, baseline=0.5, interval=[0.88, 0.92], rows=1200) == (
        "On 1,200 rows that training never saw, the model is right in 1,080 of 1,200 (90 %); with other rows of the "
        "same kind, expect 88 % to 92 %. Answering the same class every time would be right in 600 of 1,200 (50 %)."
    )
    assert sentence(name="loss", value=0.25).endswith("the loss is 0.25.")


def test_six_right_answers_are_few_rows_and_not_100_cases() -> None:
    text = sentence(value=1.0, baseline=0.5, interval=[0.54, 1.0], rows=6)
    assert "right in 6 of 6 (100 %); with other rows of the same kind, expect 54 % to 100 %" in text
    assert "of 100" not in text
    assert "These are few rows" in text


def test_a_fraction_that_is_almost_all_is_not_called_100_percent() -> None:
    assert "99.999 %" in sentence(value=0.99999, rows=100_000)


def test_recommendations_are_counted_in_users_beside_the_most_popular_items() -> None:
    assert sentence(name="hit_rate_at_10", value=0.38, baseline=0.236, interval=[0.322, 0.442], rows=250) == (
        "The last item of 250 users was hidden: the 10 items that the model recommends have it for 95 of 250 (38 %); "
        "with other users, expect 32.2 % to 44.2 %. Recommending the most popular items to everybody has it for 59 of "
        "250 (23.6 %)."
    )


def test_detection_is_counted_in_objects_and_says_what_its_metric_counts() -> None:
    counts = {"confidence": 0.3, "objects": 20, "detected": 17, "false_boxes": 1}
    assert sentence(name="map", value=0.6, baseline=0.002, rows=10, at_confidence=counts) == (
        "On 10 images that training never saw, the model detects 17 of 20 (85 %) objects and draws 1 false box. With "
        "how closely the boxes fit, the mean average precision is 0.6 of at most 1. A trivial model, which covers "
        "every image with boxes, reaches 0.002."
    )
    assert sentence(name="map", value=0.6).startswith("On images that training never saw, the mean average precision")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "rmse", "value": 4.0, "baseline": 9.0, "others": {"mae": 3.0}}, "off by 3 on average"),
        ({"name": "rmse", "value": 4.0, "baseline": 9.0}, "Answering the same number every time has 9."),
        ({"name": "word_error_rate", "value": 0.125, "baseline": 1.0}, "12.5 of 100 words are wrong"),
        ({"name": "bleu", "value": 31.5, "baseline": 0.4}, "the BLEU is 31.5. A trivial model reaches 0.4."),
    ],
)
def test_every_first_metric_stands_beside_the_trivial_model(fields: dict[str, Any], words: str) -> None:
    assert words in sentence(**fields)


def test_an_import_has_no_sentence() -> None:
    assert summarize({"notes": ["read"]}) is None
