"""Terminal output of the commands."""

from datetime import UTC, datetime, timedelta

import pytest

from plinth.cli import render
from plinth.cli.commands.datasets import _shorten
from plinth.cli.render_evaluation import print_recommendations
from plinth.cli.render_sweep import print_report
from plinth.client.types import DatasetReport


def test_an_image_is_drawn_with_characters_without_colors() -> None:
    assert render.console.color_system is None, "pytest captures the output, so there is no terminal"
    assert render.draw_image([[0, 255], [128, 0]]).plain == "  @@\n++  "


def test_a_report_of_translation_has_examples_that_are_no_recommendations(capsys: pytest.CaptureFixture[str]) -> None:
    example = {"text": "eins", "answer": "one", "reference": "one"}
    print_report({"task": "translation", "split": "test", "rows": 1, "metrics": {"bleu": 90.0}, "examples": [example]})
    assert "bleu" in capsys.readouterr().out


def test_a_report_shows_interval_baseline_and_confusion(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_evaluation(
        {
            "split": "test",
            "rows": 10,
            "metrics": {"accuracy": 0.9},
            "training": {"small_data_adjustments": "9 rows are few"},
            "warnings": ["the test split is small"],
            "notes": ["macro_f1 leaves out 1 of 3 classes"],
            "baseline": {"accuracy": 0.5},
            "intervals": {"accuracy": [0.59, 0.98]},
            "classes": ["cat", "dog"],
            "confusion_matrix": [[5, 0], [1, 4]],
            "per_class": [{"label": "dog", "recall": 0.8, "precision": 1.0}],
        }
    )
    output = capsys.readouterr().out
    assert "0.59 to 0.98" in output
    assert "note: 9 rows are few" in output
    assert "note: macro_f1 leaves out 1 of 3 classes" in output
    assert "warning: the test split is small" in output
    assert output.splitlines()[-1].split() == ["dog", "1", "4", "80%", "100%"]
    assert output.splitlines()[-2].split() == ["cat", "5", "·"]


def test_a_report_shows_a_reference_beside_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    reference = {"model": "scikit-learn 1.9 HistGradientBoostingRegressor", "rows": 120, "metrics": {"rmse": 2.25}}
    render.print_evaluation({"metrics": {"rmse": 2.0, "r2": 0.9}, "baseline": {"rmse": 4.0}, "reference": reference})

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "test", "95", "%", "interval", "trivial", "baseline", "reference"]
    assert [line.split() for line in lines if line.startswith("rmse")] == [["rmse", "2", "4", "2.25"]]
    assert "HistGradientBoostingRegressor, 120 training rows" in " ".join(lines)


def test_a_dataset_report_begins_with_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    reading = "read: text = description, label = group; not read: id, subject; 3 files not read: a.ids, b.ids, c.ids"
    render.print_dataset_report(DatasetReport(state="ready", rows=4, accepted=4, reading=reading))
    assert capsys.readouterr().out.splitlines()[1] == reading


@pytest.mark.parametrize(
    ("seconds", "message"), [(5, "5 s ago"), (130, "2 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_ages_are_printed_in_their_largest_unit(seconds: int, message: str) -> None:
    assert render.format_age(datetime.now(UTC) - timedelta(seconds=seconds)) == message


@pytest.mark.parametrize(
    ("size_bytes", "message"), [(999, "999 B"), (68_400, "68.4 kB"), (2e9, "2.0 GB"), (3e12, "3.0 TB")]
)
def test_sizes_are_printed_with_a_unit(size_bytes: float, message: str) -> None:
    assert render.format_size(size_bytes) == message


def test_labels_that_differ_from_the_base_model_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"loaded": ["a"], "new": ["b", "[c]"], "dropped": ["d"]}
    render.print_evaluation({"metrics": {"accuracy": 1.0}, "transfer": {"labels": labels}})
    assert "labels: 1 from the base model, 2 new (b, [c]), 1 dropped (d)" in capsys.readouterr().out
    render.print_evaluation(
        {"metrics": {"accuracy": 1.0}, "transfer": {"labels": {**labels, "new": [], "dropped": []}}}
    )
    assert "labels:" not in capsys.readouterr().out


def test_a_body_of_another_signal_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    crossed = {"architecture": "transformer", "source_signal": "tokens", "loaded": ["a", "b"], "new": ["c"]}
    render.print_evaluation({"metrics": {"accuracy": 1.0}, "transfer": {"crossed": {"image": crossed}}})
    expected = "transfer: image has the body of a transformer that read tokens; 2 tensors loaded, 1 new"
    assert expected in " ".join(capsys.readouterr().out.split())


def test_a_report_compares_each_part_alone_with_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    part = {"rows": 40, "accuracy": 0.5, "interval": [0.4, 0.6], "accuracy_of_all": 0.975}
    render.print_evaluation({"split": "test", "rows": 44, "metrics": {"accuracy": 0.97}, "parts": {"text": part}})
    assert "text alone: accuracy 0.5, with all parts 0.975, on 40 rows" in capsys.readouterr().out


def test_a_report_of_numbers_compares_the_error_of_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    part = {"rows": 40, "rmse": 5.5, "mae": 4.0, "r2": 0.2, "rmse_of_all": 0.25}
    render.print_evaluation({"split": "test", "rows": 44, "metrics": {"rmse": 0.3}, "parts": {"text": part}})
    assert "text alone: rmse 5.5, with all parts 0.25, on 40 rows" in capsys.readouterr().out


def test_recommendations_are_shown_by_title_beside_what_came_next(capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"item": f"P{number}", "title": f"Title {number}"} for number in range(5)]
    example = {"index": 7, "history": items, "next": {"item": "P9", "title": None}, "recommended": items, "rank": 2}
    print_recommendations([example, {**example, "next": None, "rank": None}])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("7")]
    assert lines[0].split("  ")[0] == "7"
    assert "Title 2, Title 3, Title 4" in lines[0]
    assert "Title 0, Title 1, Title 2" in lines[0]
    assert "P9" in lines[0]
    assert "a new item" in lines[1]


def test_media_and_boxes_are_described_in_a_preview() -> None:
    assert _shorten("iVBORw0KGgo" + "A" * 3989) == "PNG image, 3 kB"
    assert _shorten({"objects": [{"label": "cat", "box": [0, 0, 1, 1]}, {"label": "dog"}]}) == "cat, dog"
    assert _shorten({"objects": []}) == "nothing in it"
