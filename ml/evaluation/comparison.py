"""Forgetting table: two versions of a classifier on old and new test rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import numpy as np

from ml.evaluation.corrupted_rows import corrupt_rows, fitting_corruptions
from ml.inference.predictor import BATCH_INPUTS, Predictor
from ml.metrics.base import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml.data.rows import Rows
    from ml.package.package import ModelPackage

#: Standard deviations of the interval of a difference: a model that is not better passes once in 1,000 times.
Z_DIFFERENCE: Final = 3.09
BINS: Final = 10
#: Test rows for robustness: every corruption needs a prediction of every row.
MAX_CORRUPTED_ROWS: Final = 100
LABEL: Final = "label"


class VersionScores(TypedDict):
    """Figures of one version on some rows."""

    accuracy: float
    interval: tuple[float, float]
    #: Expected calibration error.
    ece: float


class RowsComparison(TypedDict):
    """Both versions on the same rows; without rows, both are None."""

    rows: int
    current: VersionScores | None
    candidate: VersionScores | None
    #: Accuracy of the candidate minus that of the current version, and its interval.
    difference: float | None
    interval: tuple[float, float] | None


class ComparisonReport(TypedDict):
    """Two versions on the old test rows, on the new ones, and on all."""

    old: RowsComparison
    new: RowsComparison
    all: RowsComparison
    #: On corrupted rows; absent unless requested.
    corrupted: NotRequired[RowsComparison]


def compare_packages(
    current: ModelPackage,
    candidate: ModelPackage,
    rows: Rows,
    *,
    old_rows: int,
    robustness: bool = False,
    on_batch: Callable[[], None] = lambda: None,
) -> ComparisonReport:
    """Compare two versions on rows with labels; the first `old_rows` are the old ones.

    A label that a version does not know counts as an error of it. With `robustness`, they are compared on corrupted
    rows, too.
    """
    predictors = [Predictor.load(package) for package in (current, candidate)]
    right, confidences = _answer(predictors, rows, on_batch)

    def compare(part: slice) -> RowsComparison:
        return _compare([values[part] for values in right], [values[part] for values in confidences])

    report: ComparisonReport = {
        "old": compare(slice(old_rows)),
        "new": compare(slice(old_rows, None)),
        "all": compare(slice(None)),
    }
    if robustness:
        report["corrupted"] = _compare_corrupted(predictors, current, rows, on_batch)
    return report


def _compare_corrupted(
    predictors: Sequence[Predictor], package: ModelPackage, rows: Rows, on_batch: Callable[[], None]
) -> RowsComparison:
    """Compare on some rows, corrupted in all ways that fit, at the middle level."""
    task = package.task()
    sample = rows[:: -(-len(rows) // MAX_CORRUPTED_ROWS)] if len(rows) else rows
    right: list[list[np.ndarray]] = [[], []]
    confidences: list[list[np.ndarray]] = [[], []]
    for corruption, columns in fitting_corruptions(task) if task is not None else ():
        corrupted = corrupt_rows(sample, corruption, columns, corruption.amounts[1])
        for number, parts in enumerate(zip(*_answer(predictors, corrupted, on_batch), strict=True)):
            right[number].append(parts[0])
            confidences[number].append(parts[1])
    joined = [[np.concatenate([np.empty(0), *parts]) for parts in values] for values in (right, confidences)]
    return _compare([values.astype(bool) for values in joined[0]], joined[1])


def _answer(
    predictors: Sequence[Predictor], rows: Rows, on_batch: Callable[[], None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return by predictor which rows are right, bool [N], and the confidences, float [N]."""
    truth = np.array([str(label) for label in rows.columns[LABEL]], dtype=object)
    answers = [_predict(predictor, rows, on_batch) for predictor in predictors]
    return [labels == truth for labels, _ in answers], [values for _, values in answers]


def _predict(predictor: Predictor, rows: Rows, on_batch: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted labels, object [N], and their confidences, float [N]."""
    columns = [name for name in rows.columns if name != LABEL]
    outputs = []
    for start in range(0, len(rows), BATCH_INPUTS):
        batch = [{name: row[name] for name in columns} for row in rows[start : start + BATCH_INPUTS]]
        outputs += predictor.answer(batch, output=None)
        on_batch()
    labels = np.array([output["label"] for output in outputs], dtype=object)
    return labels, np.array([output["confidence"] for output in outputs], dtype=np.float64)


def _compare(right: list[np.ndarray], confidences: list[np.ndarray]) -> RowsComparison:
    count = len(right[0])
    if not count:
        return {"rows": 0, "current": None, "candidate": None, "difference": None, "interval": None}
    current, candidate = (_score(*pair) for pair in zip(right, confidences, strict=True))
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    return {
        "rows": count,
        "current": current,
        "candidate": candidate,
        "difference": (gained - lost) / count,
        "interval": paired_interval(gained, lost, count),
    }


def paired_interval(gained: int, lost: int, rows: int) -> tuple[float, float]:
    """Return the interval of a difference of two accuracies on the same rows.

    Agresti and Min (2005), with half a row added to each of the four cells. `gained` rows are right by the second
    version alone, `lost` rows by the first alone.
    """
    total = rows + 2
    difference = (gained - lost) / total
    variance = (gained + lost + 1 - (gained - lost) ** 2 / total) / total**2
    half = Z_DIFFERENCE * math.sqrt(variance)
    return max(-1.0, difference - half), min(1.0, difference + half)


def _score(right: np.ndarray, confidences: np.ndarray) -> VersionScores:
    accuracy = float(right.mean())
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    gaps = [abs(float((right[bins == number] - confidences[bins == number]).sum())) for number in np.unique(bins)]
    return {"accuracy": accuracy, "interval": wilson_interval(accuracy, len(right)), "ece": sum(gaps) / len(right)}


def judge(
    report: ComparisonReport,
    *,
    min_test_rows: int,
    max_forgetting: float,
    max_calibration_loss: float,
    robustness: float | None = None,
) -> dict[str, Any]:
    """Return whether the candidate may replace the current version, with a sentence for each condition.

    It may not without enough test rows of both kinds, nor without the corrupted rows that `robustness` needs.
    """
    for name in ("old", "new"):
        count = report[name]["rows"]
        if count < min_test_rows:
            message = f"the gate cannot be computed: {count} {name} test rows (minimum {min_test_rows})"
            return {"passed": False, "checks": [{"name": "test_rows", "passed": False, "message": message}]}
    checks = [
        _check_gain(report["new"]),
        _check_forgetting(report["old"], max_forgetting),
        _check_calibration(report["all"], max_calibration_loss),
    ]
    if robustness is not None:
        checks.append(_check_robustness(report.get("corrupted"), robustness))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def _check_gain(new: RowsComparison) -> dict[str, Any]:
    assert new["interval"] is not None, "there are rows"
    low, high = new["interval"]
    passed = low > 0
    verdict = "better" if passed else "not shown to be better"
    message = f"{verdict} on {new['rows']} new test rows: accuracy {new['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
    return {"name": "gain", "passed": passed, "message": message}


def _check_forgetting(old: RowsComparison, max_forgetting: float) -> dict[str, Any]:
    assert old["difference"] is not None, "there are rows"
    # One row more or less says nothing.
    allowed = max(max_forgetting, 1.5 / old["rows"])
    loss = -old["difference"]
    message = f"accuracy on {old['rows']} old test rows {old['difference']:+.3f} (at most {allowed:.3f} may be lost)"
    return {"name": "forgetting", "passed": loss <= allowed, "message": message}


def _check_calibration(rows: RowsComparison, max_calibration_loss: float) -> dict[str, Any]:
    assert rows["current"] is not None, "there are rows"
    assert rows["candidate"] is not None, "there are rows"
    loss = rows["candidate"]["ece"] - rows["current"]["ece"]
    message = f"calibration error {loss:+.3f} (at most {max_calibration_loss:+.3f})"
    return {"name": "calibration", "passed": loss <= max_calibration_loss, "message": message}


def _check_robustness(rows: RowsComparison | None, max_loss: float) -> dict[str, Any]:
    if rows is None or rows["difference"] is None:
        message = "robustness cannot be computed: no corrupted rows were compared"
        return {"name": "robustness", "passed": False, "message": message}
    difference = rows["difference"]
    message = f"accuracy on {rows['rows']} corrupted rows {difference:+.3f} (at most {max_loss:.3f} may be lost)"
    return {"name": "robustness", "passed": -difference <= max_loss, "message": message}
