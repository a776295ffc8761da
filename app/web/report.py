"""Reports in words: metrics with interval and baseline, the confusion matrix, classes and mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.jobs.descriptions.report_summary import format_percent, format_value, metric_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml.spec.catalog import MetricEntry

#: Classes up to which the matrix is drawn; beyond, the commonest confusions are listed.
MAX_MATRIX_CLASSES: Final = 24
MAX_CONFUSIONS: Final = 20
#: Difference between mean confidence and accuracy, in 0..1, up to which a model is called calibrated.
CALIBRATED: Final = 0.03
#: Rows from which equal confidence and accuracy mean something.
MIN_CALIBRATION_ROWS: Final = 100
#: Steps of color in the matrix.
SHADES: Final = 10
MAX_MISTAKES: Final = 40
#: Width of an enlarged part of an image, in sides of its box.
DETAIL_SCALE: Final = 6
#: Fraction of the image up to which a part is enlarged.
MAX_DETAIL_FRACTION: Final = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """One metric of a report, with everything that a reader compares it with."""

    name: str
    summary: str
    value: float
    baseline: float | None
    low: float | None
    high: float | None
    higher_is_better: bool | None

    @property
    def is_fraction(self) -> bool:
        """True if all its values can be drawn between 0 and 1."""
        values = (self.value, self.baseline, self.low, self.high)
        return self.higher_is_better is True and all(value is None or 0 <= value <= 1 for value in values)

    @property
    def verdict(self) -> str:
        """Comparison with the trivial model: `better`, `worse`, `unclear`, or empty."""
        if self.baseline is None or self.higher_is_better is None:
            return ""
        worst = self.low if self.higher_is_better else self.high
        worst = self.value if worst is None else worst
        sign = 1 if self.higher_is_better else -1
        if sign * (worst - self.baseline) > 0:
            return "better"
        return "worse" if sign * (self.value - self.baseline) < 0 else "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Rows of one true class for which the model answered one class."""

    true: str
    predicted: str
    count: int
    #: 0 to `SHADES`, relative to the rows of the true class.
    shade: int
    is_right: bool


def metric_lines(report: Mapping[str, Any], metrics: Mapping[str, MetricEntry]) -> list[MetricLine]:
    """Return the metrics of a report in its order.

    `metrics` are those of the task in the catalog.
    """
    baseline, intervals = report.get("baseline") or {}, report.get("intervals") or {}
    lines = []
    for name, value in (report.get("metrics") or {}).items():
        if not isinstance(value, int | float):
            continue
        low, high = intervals.get(name) or (None, None)
        described = metrics.get(name)
        lines.append(
            MetricLine(
                name=metric_name(name),
                summary=described.summary if described else "",
                value=value,
                baseline=baseline.get(name),
                low=low,
                high=high,
                higher_is_better=described.higher_is_better if described else None,
            )
        )
    return lines


def matrix(report: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Return the rows of the confusion matrix by true class.

    Empty where the matrix is too large or missing.
    """
    classes, counts = report.get("classes") or [], report.get("confusion_matrix") or []
    if not counts or len(classes) > MAX_MATRIX_CLASSES:
        return []
    return [(true, _cells(true, classes, row)) for true, row in zip(classes, counts, strict=False)]


def confusions(report: Mapping[str, Any]) -> list[Cell]:
    """Return the commonest confusions, the most frequent first."""
    classes, counts = report.get("classes") or [], report.get("confusion_matrix") or []
    cells = [cell for true, row in zip(classes, counts, strict=False) for cell in _cells(true, classes, row)]
    wrong = [cell for cell in cells if cell.count and not cell.is_right]
    return sorted(wrong, key=lambda cell: -cell.count)[:MAX_CONFUSIONS]


def _cells(true: str, classes: Sequence[str], row: Sequence[int]) -> list[Cell]:
    total = sum(row) or 1
    return [
        Cell(
            true=true,
            predicted=predicted,
            count=count,
            shade=math.ceil(SHADES * count / total),
            is_right=true == predicted,
        )
        for predicted, count in zip(classes, row, strict=False)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityMark:
    """Answers of about one confidence, and how many of them were right."""

    confidence: float
    accuracy: float
    count: int
    #: Radius of the mark in the diagram: its area grows with the rows.
    radius: float


def reliability(report: Mapping[str, Any]) -> tuple[list[ReliabilityMark], str]:
    """Return the marks of the reliability curve, and its meaning in words.

    Empty for a report without a calibration.
    """
    calibration = report.get("calibration") or {}
    filled = [item for item in calibration.get("bins") or [] if item.get("count")]
    if not filled:
        return [], ""
    largest = max(item["count"] for item in filled)
    bins = [
        ReliabilityMark(
            confidence=item["confidence"],
            accuracy=item["accuracy"],
            count=item["count"],
            radius=round(2.5 + 5.5 * math.sqrt(item["count"] / largest), 1),
        )
        for item in filled
    ]
    rows = sum(item.count for item in bins)
    confidence = sum(item.confidence * item.count for item in bins) / rows
    accuracy = sum(item.accuracy * item.count for item in bins) / rows
    sentence = (
        f"Its confidence is {format_percent(confidence)} on average, and it is right in {format_percent(accuracy)}"
    )
    if rows < MIN_CALIBRATION_ROWS and abs(confidence - accuracy) <= CALIBRATED:
        sentence += f": they agree, though {rows} rows are few to judge by."
    elif abs(confidence - accuracy) <= CALIBRATED:
        sentence += ": the confidence can be taken at its word."
    else:
        sentence += ": it is too sure of itself." if confidence > accuracy else ": it is better than it believes."
    return bins, f"{sentence} {_describe_calibration_error(calibration)}"


def _describe_calibration_error(calibration: Mapping[str, Any]) -> str:
    """Return the expected calibration error in percentage points, and that before the calibration."""
    error, before = calibration["ece"], (calibration.get("before") or {}).get("ece")
    sentence = f"Row by row, the two are {_format_points(error)} apart (the expected calibration error)"
    if before is None:
        return f"{sentence}."
    sentence += f", and were {_format_points(before)} apart before the calibration"
    if error <= before:
        return f"{sentence}."
    return f"{sentence}: it was fitted to validation rows, and did not help on these."


def _format_points(value: float) -> str:
    return f"{100 * value:.1f} percentage points" if value >= 0.0005 else "under 0.1 percentage points"


def mistakes(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the mistakes that a report lists, with the `index` of their row."""
    listed = report.get("errors") or report.get("worst") or []
    rows = []
    for item in listed:
        index = item.get("index", item.get("row")) if isinstance(item, dict) else None
        if isinstance(index, int):
            rows.append({**item, "index": index})
    return rows[:MAX_MISTAKES]


def facts(mistake: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a mistake says of itself, as pairs of name and value."""
    names = {"label": "true", "reference": "expected", "found": "answer"}
    hidden: tuple[str, ...] = ("index", "row", "text", "box", "loss")
    if box_caption(mistake):
        hidden += ("error", "predicted", "confidence", "label")
    return [
        (
            names.get(name, name.replace("_", " ")),
            format_value(value) if isinstance(value, float) else _kind_in_words(name, value),
        )
        for name, value in mistake.items()
        if name not in hidden and not isinstance(value, dict | list)
    ]


def _kind_in_words(name: str, value: Any) -> str:
    """Return a value as text; the kind of an error, such as `false_box`, without underscores."""
    return str(value).replace("_", " ") if name == "error" else str(value)


def box_caption(mistake: Mapping[str, Any]) -> str:
    """Return which box of a detection a mistake is about, or nothing for others."""
    if mistake.get("error") == "missed":
        return f"Missed: {mistake['label']}"
    if mistake.get("error") != "false_box":
        return ""
    caption = f"False box: {mistake['predicted']}, {format_percent(mistake['confidence'])} sure"
    return f"{caption}; true is {mistake['label']}" if mistake.get("label") else caption


def detail(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return the part of an image around a small box: left, top, width, height.

    In pixels. `box` is left, top, right and bottom; `size` is the width and height of the image. None for a large
    box, which the whole image shows well.
    """
    width, height = size
    side = DETAIL_SCALE * max(box[2] - box[0], box[3] - box[1], 1)
    if side > min(width, height) * MAX_DETAIL_FRACTION:
        return None
    left, top = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side / 2) / 2
    return (
        round(min(max(left, 0), width - side), 1),
        round(min(max(top, 0), height - side / 2), 1),
        round(side, 1),
        round(side / 2, 1),
    )
