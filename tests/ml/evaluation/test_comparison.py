"""The forgetting table, and the gate: a worse model never passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.rows import ImageArray, Labels, Rows
from ml.evaluation.comparison import compare_packages, judge, paired_interval
from tests.support.factories import SIDE, shades

GATE = {"min_test_rows": 15, "max_forgetting": 0.02, "max_calibration_loss": 0.05}


def images(brightnesses: list[int], labels: list[str]) -> Rows:
    pixels = np.array([np.full((SIDE, SIDE, 1), value, np.uint8) for value in brightnesses])
    classes = sorted(set(labels))
    codes = np.array([classes.index(label) for label in labels], np.int32)
    return Rows({"image": ImageArray(pixels), "label": Labels(codes, classes)})


def test_old_and_new_rows_are_compared_apart(tmp_path: Path) -> None:
    current, candidate = shades(tmp_path / "a"), shades(tmp_path / "b", bias=1e6)
    rows = images([0] * 4 + [255] * 4 + [0] * 3, ["dark"] * 4 + ["light"] * 4 + ["light"] * 2 + ["unknown"])
    report = compare_packages(current, candidate, rows, old_rows=8)
    assert (report["old"]["rows"], report["new"]["rows"], report["all"]["rows"]) == (8, 3, 11)
    assert report["old"]["current"] is not None
    assert report["old"]["candidate"] is not None
    assert (report["old"]["current"]["accuracy"], report["old"]["candidate"]["accuracy"]) == (1.0, 0.5)
    assert report["old"]["difference"] == -0.5
    assert report["new"]["difference"] == pytest.approx(2 / 3)
    verdict = judge(report, **GATE)
    assert not verdict["passed"]
    assert "the gate cannot be computed: 8 old test rows (minimum 15)" in verdict["checks"][0]["message"]


def test_versions_are_compared_on_corrupted_rows_on_request(tmp_path: Path) -> None:
    current, candidate = shades(tmp_path / "a"), shades(tmp_path / "b", bias=1e6)
    rows = images([0] * 4 + [255] * 4, ["dark"] * 4 + ["light"] * 4)
    assert "corrupted" not in compare_packages(current, candidate, rows, old_rows=8)
    corrupted = compare_packages(current, candidate, rows, old_rows=8, robustness=True)["corrupted"]
    assert corrupted["rows"] % 8 == 0
    assert corrupted["rows"] >= 3 * 8, "each row is corrupted in several ways"
    assert corrupted["difference"] is not None
    assert -0.6 < corrupted["difference"] < -0.3, "the candidate calls everything light"
    no_rows = compare_packages(current, candidate, rows[:0], old_rows=0, robustness=True)["corrupted"]
    assert (no_rows["rows"], no_rows["difference"]) == (0, None)


def report_of(old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray], *, ece: float = 0.0) -> Any:
    def part(right: tuple[np.ndarray, np.ndarray]) -> Any:
        gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
        return {
            "rows": len(right[0]),
            "current": {"ece": 0.0},
            "candidate": {"ece": ece},
            "difference": (gained - lost) / len(right[0]),
            "interval": paired_interval(gained, lost, len(right[0])),
        }

    return {"old": part(old), "new": part(new), "all": part(old)}


def test_a_better_model_passes_and_one_that_forgets_or_is_too_sure_does_not() -> None:
    always, never = np.ones(60, bool), np.zeros(60, bool)
    some = np.arange(60) >= 5
    assert judge(report_of((always, always), (never, always)), **GATE)["passed"]
    assert not judge(report_of((always, some), (never, always)), **GATE)["passed"]
    assert not judge(report_of((always, always), (never, always), ece=0.2), **GATE)["passed"]
    assert not judge(report_of((always, always), (always, always)), **GATE)["passed"]


@pytest.mark.parametrize("count", [15, 40, 200])
def test_a_model_that_is_no_better_passes_in_none_of_100_tries(count: int) -> None:
    rng = np.random.default_rng(count)
    passed = 0
    for _ in range(100):
        # Both are right at random on new rows, as with shuffled labels.
        new = rng.random(count) < 0.5, rng.random(count) < 0.5
        always = np.ones(200, bool)
        passed += judge(report_of((always, always), new), **GATE)["passed"]
    assert passed == 0
