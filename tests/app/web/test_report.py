"""Reports in words, and what the matrix and the mistakes show."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.descriptions.report_summary import format_value, metric_name
from app.web import rendering, report
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


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ((0.5, 0.9), "they agree, though 50 rows are few"),
        ((0.3, 0.6), "too sure of itself"),
        ((0.7, 1.0), "better than it believes"),
    ],
)
def test_reliability_is_drawn_and_put_in_words(accuracies: tuple[float, float], words: str) -> None:
    bins = [
        {"confidence": 0.5, "accuracy": accuracies[0], "count": 10},
        {"confidence": 0.9, "accuracy": accuracies[1], "count": 40},
    ]
    marks, sentence = report.reliability({"calibration": {"ece": 0.04, "before": {"ece": 0.1}, "bins": bins}})
    assert words in sentence
    assert sentence.endswith(
        "Row by row, the two are 4.0 percentage points apart (the expected calibration error), and were 10.0 "
        "percentage points apart before the calibration."
    )
    assert [mark.count for mark in marks] == [10, 40]
    assert marks[0].radius < marks[1].radius


def test_a_calibration_that_made_it_worse_says_why() -> None:
    bins = [{"confidence": 0.9, "accuracy": 0.9, "count": 200}]
    _, sentence = report.reliability({"calibration": {"ece": 0.03, "before": {"ece": 0.0002}, "bins": bins}})
    assert "the confidence can be taken at its word" in sentence
    assert sentence.endswith(
        "were under 0.1 percentage points apart before the calibration: it was fitted to validation rows, and did not "
        "help on these."
    )


@pytest.mark.parametrize("document", [{}, {"calibration": None}, {"calibration": {"ece": 0.0, "bins": []}}])
def test_a_report_without_calibration_has_no_reliability(document: dict[str, Any]) -> None:
    assert report.reliability(document) == ([], "")


def test_the_body_of_a_report_draws_the_reliability_curve() -> None:
    bins = [{"confidence": 0.5, "accuracy": 0.25, "count": 4}, {"confidence": 1.0, "accuracy": 1.0, "count": 9}]
    document = {"rows": 13, "warnings": [], "per_class": [], "training": None, "transfer": None}
    text = rendering.render(
        "report/body.html",
        report=document,
        lines=[],
        sentence=None,
        matrix=[],
        confusions=[],
        dataset="d@1",
        show=format_value,
        metric_name=metric_name,
        reliability=report.reliability({"calibration": {"ece": 0.1, "bins": bins}}),
    )
    assert 'd="M100.0 150.0L200.0 0.0"' in text
    assert text.count("<circle") == 2
    assert "0.5 confident, 0.25 right on 4 rows" in text


@pytest.mark.parametrize(
    "part",
    [
        {"rows": 40, "accuracy": 0.5, "interval": [0.4, 0.6], "accuracy_of_all": 0.975},
        {"rows": 40, "rmse": 0.5, "mae": 0.25, "r2": 0.1, "rmse_of_all": 0.975},
    ],
)
def test_the_body_of_a_report_compares_each_part_alone_with_all_parts(part: dict[str, Any]) -> None:
    document = {
        "rows": 44,
        "warnings": [],
        "per_class": [],
        "training": None,
        "transfer": None,
        "parts": {"text": part},
    }
    text = rendering.render(
        "report/body.html",
        report=document,
        lines=[],
        sentence=None,
        matrix=[],
        confusions=[],
        dataset="d@1",
        show=format_value,
        metric_name=metric_name,
        reliability=([], ""),
    )
    row = text.partition("Each part alone")[2]
    assert all(cell in row for cell in (">text<", ">40<", ">0.5<", ">0.975<"))


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        ({"loaded": ["a"], "new": ["b", "<c>"], "dropped": []}, ["1 loaded label: a.", "2 new labels: b, &lt;c&gt;."]),
        (None, []),
    ],
)
def test_the_body_of_a_report_names_the_labels_of_the_base_model(labels: Any, texts: list[str]) -> None:
    text = _render_transfer({"loaded": ["w"], "new": [], "dropped": [], "labels": labels})
    assert all(line in text for line in texts)
    assert ("label" in text.partition("What came from the base model")[2]) == bool(texts)


def test_the_body_of_a_report_names_what_crossed_from_another_signal() -> None:
    crossed = {"architecture": "transformer", "source_signal": "tokens", "loaded": ["a", "b"], "new": ["c"]}
    transfer = {"loaded": ["a", "b"], "new": ["c"], "dropped": [], "labels": None, "crossed": {"image": crossed}}
    assert "image: the body of a transformer that read tokens; 2 tensors loaded, 1 new." in _render_transfer(transfer)


def _render_transfer(transfer: dict[str, Any]) -> str:
    return rendering.render(
        "report/body.html",
        report={"rows": 1, "warnings": [], "per_class": [], "training": None, "transfer": transfer},
        lines=[],
        sentence=None,
        matrix=[],
        confusions=[],
        dataset="d@1",
        show=format_value,
        metric_name=metric_name,
        reliability=([], ""),
    )


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
    ("value", "text"),
    [(None, "-"), (3, "3"), (1234567, "1,234,567"), (0.12345678, "0.1235"), (2.0, "2"), (True, "yes")],
)
def test_values_are_written_for_people(value: Any, text: str) -> None:
    assert format_value(value) == text


EXAMPLE = {"text": "eins", "answer": "one", "reference": "one"}


@pytest.mark.parametrize("fields", [{}, {"robustness": None}, {"robustness": {}}, {"examples": [EXAMPLE]}])
def test_a_report_with_or_without_sections_of_a_task_is_rendered(fields: dict[str, Any]) -> None:
    document = {"rows": 1, "warnings": [], "per_class": [], "training": None, "transfer": None, **fields}
    text = rendering.render(
        "report/body.html",
        report=document,
        lines=[],
        sentence="One sentence.",
        matrix=[],
        confusions=[],
        dataset=None,
        show=format_value,
        metric_name=metric_name,
        reliability=report.reliability({}),
    )
    assert "One sentence." in text
    assert "Under attack" not in text


def test_a_small_box_has_an_enlarged_part_inside_the_image_and_a_large_box_has_none() -> None:
    left, top, width, height = report.detail([0, 0, 20, 10], (800, 600)) or (0, 0, 0, 0)
    assert (left, top) == (0, 0)
    assert (width, height) == (120, 60)
    left, top, width, height = report.detail([780, 590, 800, 600], (800, 600)) or (0, 0, 0, 0)
    assert (left + width, top + height) == (800, 600)
    assert report.detail([0, 0, 300, 200], (800, 600)) is None


def test_a_box_with_a_wrong_class_names_the_true_one() -> None:
    mistake = {"error": "false_box", "predicted": "ring", "confidence": 0.5, "label": "nodule"}
    assert report.box_caption(mistake) == "False box: ring, 50\N{NO-BREAK SPACE}% sure; true is nodule"
    assert report.box_caption({"error": "missed", "label": "nodule"}) == "Missed: nodule"
    assert report.box_caption({"label": "nodule", "predicted": "ring"}) == ""
