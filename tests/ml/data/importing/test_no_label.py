"""Labels that say that a row has none."""

import json
from pathlib import Path

import pytest

from ml.data.importing.no_label import find_no_label_marks
from tests.support.ml.dataset_files import codes, count, make_parquet, sample, upload

NAMES = ("entailment", "neutral", "contradiction")


def snli(row: int) -> dict[str, object]:
    """Return a line of SNLI's JSON; one of seven pairs has no gold label."""
    return {
        "annotator_labels": ["neutral"],
        "gold_label": "-" if row % 7 == 0 else NAMES[row % 3],
        "sentence1": f"A person {row} on a horse jumps.",
        "sentence2": f"A person trains horse {row}.",
    }


def lines(rows: range) -> bytes:
    return "".join(json.dumps(snli(row)) + "\n" for row in rows).encode()


def test_pairs_of_snli_without_a_gold_label_are_left_out_and_said(tmp_path: Path) -> None:
    report = upload(tmp_path, {"snli_train.jsonl": lines(range(70)), "snli_dev.jsonl": lines(range(70, 98))})

    assert (report.state, report.classes, report.accepted) == ("ready", sorted(NAMES), 84)
    assert (count(report, "label_means_none"), sample(report, "label_means_none")["found"]) == (14, "-")
    assert "14 rows not read" in report.reading


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_test_set_of_glue_has_no_labels_in_any_table(tmp_path: Path, form: str) -> None:
    tables = {
        split: {"sentence": [f"{split} sentence {row}" for row in range(rows)], "label": labels * (rows // 2)}
        for split, rows, labels in (("train", 60, [0, 1]), ("test", 20, [-1, -1]))
    }
    write = {
        "csv": lambda table: (
            "sentence,label\n" + "".join(f"{text},{label}\n" for text, label in zip(*table.values(), strict=True))
        ).encode(),
        "jsonl": lambda table: "".join(
            json.dumps(dict(zip(table, cells, strict=True))) + "\n" for cells in zip(*table.values(), strict=True)
        ).encode(),
        "parquet": make_parquet,
    }[form]
    report = upload(tmp_path, {f"{split}.{form}": write(table) for split, table in tables.items()})

    assert (report.state, report.classes, report.accepted) == ("ready", ["0", "1"], 60)
    assert codes(report) >= {"label_means_none", "split_without_labels"}


@pytest.mark.parametrize(
    ("labels", "marks"),
    [
        (["-", "yes", "no"], ["-"]),
        (["-", "+", "0"], []),
        (["?", "republican", "democrat"], ["?"]),
        (["?", "!"], []),
        (["?", "-", ".", ",", "O"], []),
        (["?", "-", "yes", "no"], ["?", "-"]),
        (["n/a", "NaN", "a", "b"], ["n/a", "NaN"]),
        (["-1", "0", "1", "2"], ["-1"]),
        (["-1.0", "0.0", "1.0", "2.0"], ["-1.0"]),
        (["-1", "0", "1"], []),
        (["-1", "1"], []),
        (["-2", "-1", "0", "1", "2"], []),
        (["-3", "-2", "-1", "0", "1", "2"], []),
        (["-2", "-1", "0"], []),
        (["-100", "0", "1"], ["-100"]),
        (["-100", "-2", "0", "2"], ["-100"]),
        (["-1", "cat", "dog"], ["-1"]),
        (["none", "favor", "against"], []),
        (["NA", "DE", "FR"], []),
    ],
)
def test_labels_beside_a_mark_tell_whether_it_is_a_class(labels: list[str], marks: list[str]) -> None:
    assert find_no_label_marks(labels, learned=labels) == marks


def test_a_class_that_may_mean_no_label_is_named(tmp_path: Path) -> None:
    stances = ("none", "favor", "against")
    table = "text,label\n" + "".join(f"tweet number {row},{stances[row % 3]}\n" for row in range(60))
    report = upload(tmp_path, {"a.csv": table.encode()})

    assert (report.classes, sample(report, "class_may_mean_none")["found"]) == (sorted(stances), "none: 20 rows")
