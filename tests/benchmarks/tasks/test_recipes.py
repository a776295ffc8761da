"""Tables of the comparison of recipes, from results in a file."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
#: Setting -> errors of three datasets.
ERRORS = {
    "default": {"iris": 0.2, "wine": 0.2, "breast_cancer": 0.2},
    "longer": {"iris": 0.02, "wine": 0.24, "breast_cancer": 0.24},
    "varied": {"iris": 0.22, "wine": 0.18, "breast_cancer": 0.18},
}


def test_a_setting_is_chosen_on_the_other_datasets(tmp_path: Path) -> None:
    results, history = tmp_path / "results.jsonl", tmp_path / "history.jsonl"
    shared = {"modality": "table", "seed": 0, "test_rows": 1_000_000}
    rows = [
        {"case": case, "build": "now", "setting": setting, "error": error}
        for setting, errors in ERRORS.items()
        for case, error in errors.items()
    ]
    rows += [
        {"case": case, "build": build, "setting": "default", "error": error}
        for build, error in (("before", 0.4), ("baseline", 0.1))
        for case in ERRORS["default"]
    ]
    results.write_text("".join(json.dumps({**shared, **row}) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.tasks.recipes", "--results", str(results), "--show"]

    shown = subprocess.run(
        [*command, "--record", str(history)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout

    figures = {row["figure"]: row for row in map(json.loads, history.read_text(encoding="utf-8").splitlines())}
    # For iris, wine and breast_cancer choose `varied` (1.1), the others choose `longer` on iris (1.2 each).
    held_out = "table: errors of the setting chosen on the other datasets, by those of the default"
    assert abs(figures[held_out]["median"] - (1.1 * 1.2 * 1.2) ** (1 / 3)) < 1e-4
    ratio = figures["table: errors now by errors before, geometric mean of 3 datasets"]
    # Half an error of a million rows is added to both.
    assert ratio["interval"] == [ratio["median"]] * 2
    assert abs(ratio["median"] - 0.5) < 1e-5
    assert figures["table, iris: errors"]["aim"] == "<= 0.100"
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith(("iris", "wine"))][-2:] == [
        "varied",
        "longer",
    ]
