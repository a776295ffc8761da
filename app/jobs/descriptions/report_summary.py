"""The result of a report in sentences that need no statistics, beside a trivial model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Names of metrics that are no words.
METRIC_NAMES: Final = {
    "map": "mean average precision",
    "map50": "mean average precision at half overlap",
    "macro_f1": "macro F1",
    "f1": "F1",
    "rmse": "root mean square error",
    "mae": "mean absolute error",
    "r2": "fraction of explained variance",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ndcg_at_10": "NDCG of 10 recommended items",
    "hit_rate_at_10": "hit rate of 10 recommended items",
    "hit_rate_at_10_of_100": "hit rate of 10 among 100 items",
    "negative_elbo": "negative evidence lower bound",
    "top5_accuracy": "top-5 accuracy",
}
#: Width of an interval of a fraction, in 0..1, from which the text says that the rows are few.
WIDE_INTERVAL: Final = 0.15
FEW_ROWS: Final = "These are few rows, so the figure is uncertain: more of them would narrow it."


def summarize(report: Mapping[str, Any]) -> str | None:
    """Return the first metric of a report in sentences; None for a report without metrics.

    A fraction is said in rows that exist: six rows are never "100 of 100 cases".
    """
    metrics = report.get("metrics") or {}
    name = next((name for name, value in metrics.items() if isinstance(value, int | float)), None)
    if name is None:
        return None
    write: Callable[[Mapping[str, Any], str], list[str]] = SENTENCES.get(name, _describe_any)
    parts = write(report, name)
    low, high = (report.get("intervals") or {}).get(name) or (None, None)
    if name in FRACTIONS and low is not None and high is not None and high - low > WIDE_INTERVAL:
        parts.append(FEW_ROWS)
    return " ".join(parts)


def metric_name(name: str) -> str:
    """Return the name of a metric in words."""
    return METRIC_NAMES.get(name, name.replace("_", " "))


def format_percent(value: float) -> str:
    """Return a fraction in percent, never rounded to 100 % or 0 %."""
    percent = 100 * value
    text = f"{percent:.3g}"
    if (text == "100") != (percent == 100) or (text == "0") != (percent == 0):
        text = f"{percent:.4f}".rstrip("0")
    return f"{text}\N{NO-BREAK SPACE}%"


def format_value(value: Any, digits: int = 4) -> str:
    """Return a number, or yes or no, as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return "-" if value is None else str(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def _describe_accuracy(report: Mapping[str, Any], name: str) -> list[str]:
    rows = report.get("rows")
    sentence = f"{_on_rows(report, 'rows')}, the model is right in {_count(report, name, rows)}"
    trivial = _trivial(report, name)
    parts = [f"{sentence}{_expect(report, name, 'rows of the same kind', format_percent)}."]
    if trivial is not None:
        parts.append(f"Answering the same class every time would be right in {_format_count(trivial, rows)}.")
    return parts


def _describe_hit_rate(report: Mapping[str, Any], name: str) -> list[str]:
    rows, trivial = report.get("rows"), _trivial(report, name)
    users = f"{rows:,} users" if rows else "users"
    sentence = f"The last item of {users} was hidden: the 10 items that the model recommends have it for "
    sentence += f"{_count(report, name, rows)}{_expect(report, name, 'users', format_percent)}."
    if trivial is None:
        return [sentence]
    return [sentence, f"Recommending the most popular items to everybody has it for {_format_count(trivial, rows)}."]


def _describe_detection(report: Mapping[str, Any], name: str) -> list[str]:
    parts, counts = [], report.get("at_confidence")
    value, trivial = format_value(report["metrics"][name], 3), _trivial(report, name)
    opening = _on_rows(report, "images")
    if counts and counts.get("objects"):
        detected = _format_count(counts["detected"] / counts["objects"], counts["objects"])
        boxes = f"{counts['false_boxes']:,} false box{'' if counts['false_boxes'] == 1 else 'es'}"
        parts.append(f"{opening}, the model detects {detected} objects and draws {boxes}.")
        opening = "With how closely the boxes fit"
    parts.append(f"{opening}, the mean average precision is {value} of at most 1.")
    if trivial is not None:
        parts.append(f"A trivial model, which covers every image with boxes, reaches {format_value(trivial, 3)}.")
    return parts


def _describe_error(report: Mapping[str, Any], name: str) -> list[str]:
    metrics, trivial = report["metrics"], _trivial(report, name)
    value = format_value(metrics[name])
    if "mae" in metrics:
        sentence = f"{_on_rows(report, 'rows')}, the predicted number is off by {format_value(metrics['mae'])} on "
        sentence += f"average; the root mean square error, which counts large errors more, is {value}"
    else:
        sentence = f"{_on_rows(report, 'rows')}, the root mean square error is {value}"
    parts = [f"{sentence}{_expect(report, name, 'rows of the same kind', format_value)}."]
    if trivial is not None:
        parts.append(f"Answering the same number every time has {format_value(trivial)}.")
    return parts


def _describe_word_errors(report: Mapping[str, Any], name: str) -> list[str]:
    trivial = _trivial(report, name)
    sentence = f"{_on_rows(report, 'clips')}, {100 * report['metrics'][name]:.3g} of 100 words are wrong, missing or "
    parts = [f"{sentence}too many{_expect(report, name, 'clips of the same kind', format_percent)}."]
    if trivial is not None:
        parts.append(f"A trivial model has {100 * trivial:.3g} of 100 wrong.")
    return parts


def _describe_any(report: Mapping[str, Any], name: str) -> list[str]:
    sentence = f"{_on_rows(report, 'rows')}, the {metric_name(name)} is {format_value(report['metrics'][name])}"
    parts = [f"{sentence}{_expect(report, name, 'rows of the same kind', format_value)}."]
    trivial = _trivial(report, name)
    if trivial is not None:
        parts.append(f"A trivial model reaches {format_value(trivial)}.")
    return parts


SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any], str], list[str]]]] = {
    "accuracy": _describe_accuracy,
    "hit_rate_at_10": _describe_hit_rate,
    "map": _describe_detection,
    "rmse": _describe_error,
    "word_error_rate": _describe_word_errors,
}
#: Metrics that are fractions of rows.
FRACTIONS: Final = frozenset({"accuracy", "hit_rate_at_10"})


def _on_rows(report: Mapping[str, Any], noun: str) -> str:
    rows = report.get("rows")
    if not rows:
        return f"On {noun} that training never saw"
    return f"On {rows:,} {noun if rows != 1 else noun.removesuffix('s')} that training never saw"


def _expect(report: Mapping[str, Any], name: str, others: str, write: Callable[[float], str]) -> str:
    low, high = (report.get("intervals") or {}).get(name) or (None, None)
    if low is None or high is None:
        return ""
    return f"; with other {others}, expect {write(low)} to {write(high)}"


def _trivial(report: Mapping[str, Any], name: str) -> float | None:
    value = (report.get("baseline") or {}).get(name)
    return value if isinstance(value, int | float) else None


def _count(report: Mapping[str, Any], name: str, rows: int | None) -> str:
    return _format_count(report["metrics"][name], rows)


def _format_count(value: float, rows: int | None) -> str:
    """Return a fraction of rows as a count and a percentage."""
    percent = format_percent(value)
    return f"{round(value * rows):,} of {rows:,} ({percent})" if rows else f"{percent} of them"
