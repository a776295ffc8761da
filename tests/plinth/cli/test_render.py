"""What the terminal shows."""

from datetime import UTC, datetime, timedelta

import pytest

from plinth.cli import render


def test_a_picture_is_drawn_with_characters_where_there_are_no_colours() -> None:
    assert render.console.color_system is None, "pytest takes the terminal away"
    assert render.picture([[0, 255], [128, 0]]).plain == "  @@\n++  "


def test_a_report_shows_interval_baseline_and_confusion(capsys: pytest.CaptureFixture[str]) -> None:
    render.evaluation(
        {
            "split": "test",
            "rows": 10,
            "metrics": {"accuracy": 0.9},
            "training": {"small_data_adjustments": "9 rows are few"},
            "warnings": ["nobody knows"],
            "baseline": {"accuracy": 0.5},
            "intervals": {"accuracy": [0.59, 0.98]},
            "classes": ["cat", "dog"],
            "confusion_matrix": [[5, 0], [1, 4]],
            "per_class": [{"label": "dog", "recall": 0.8, "precision": 1.0}],
        }
    )
    shown = capsys.readouterr().out
    assert "0.59 to 0.98" in shown
    assert "note: 9 rows are few" in shown
    assert "warning: nobody knows" in shown
    assert shown.splitlines()[-1].split() == ["dog", "1", "4", "80%", "100%"]
    assert shown.splitlines()[-2].split() == ["cat", "5", "·"]


@pytest.mark.parametrize(
    ("seconds", "message"), [(5, "5 s ago"), (130, "2 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_times_are_told_by_their_largest_unit(seconds: int, message: str) -> None:
    assert render.ago(datetime.now(UTC) - timedelta(seconds=seconds)) == message


@pytest.mark.parametrize(
    ("number", "message"), [(999, "999 B"), (68_400, "68.4 kB"), (2e9, "2.0 GB"), (3e12, "3.0 TB")]
)
def test_sizes_are_told_by_their_unit(number: float, message: str) -> None:
    assert render.size(number) == message
