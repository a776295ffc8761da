"""Derived datasets through the client and the commands, on a running service."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plinth import DatasetRejected, Plinth, PlinthError
from tests.plinth.cli.test_main import run
from tests.support.stack import RunningStack

pytestmark = pytest.mark.process

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "omega"]


def reviews(count: int = 60) -> list[str]:
    generator = np.random.default_rng(0)
    labels = ("good", "bad", "awful")
    return [f"{' '.join(generator.choice(WORDS, 8))},{labels[row % 3]}" for row in range(count)]


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "reviews.csv"
    path.write_text("\n".join(["text,label", *lines, ""]))
    return path


def test_operations_make_the_next_version(plinth: Plinth, tmp_path: Path) -> None:
    lines = reviews()
    uploaded = plinth.datasets.upload(write(tmp_path, lines + lines[:20]), name="derived")
    source = plinth.datasets.wait(uploaded.id, timeout_seconds=60)
    [fix] = [fix for fix in plinth.datasets.report(source.id).fixes if fix.finding == "duplicate_rows"]
    rows = plinth.datasets.finding_rows(source.id, "duplicate_rows")
    assert len(rows) == fix.rows
    for row in rows:
        assert row.twin is not None
        places = ((row.split, row.index), (row.twin["split"], row.twin["index"]))
        [one], [other] = (
            plinth.datasets.preview(source.id, split=split, start=index, limit=1) for split, index in places
        )
        # They are in other lines.
        assert (one["input"], one["target"]) == (other["input"], other["target"]), "rows can be opened"

    merge = {"operation": "merge_classes", "classes": ["bad", "awful"], "into": "negative"}
    derived = plinth.datasets.derive("derived@1", [fix.operation, merge])
    derived = plinth.datasets.wait(derived.id, timeout_seconds=60)
    assert (derived.name, derived.version, derived.rows) == ("derived", 2, 60)
    assert derived.classes == ["good", "negative"]
    assert derived.origin == {"dataset": "derived@1", "operations": [fix.operation, merge]}
    assert plinth.datasets.get(source.id) == source, "the original stays as it is"

    joined = plinth.datasets.derive("derived@2", {"operation": "join", "dataset": "derived@1"}, name="joined")
    joined = plinth.datasets.wait(joined.id, timeout_seconds=60)
    assert joined.classes == ["awful", "bad", "good", "negative"]
    emptied = plinth.datasets.derive(joined.id, {"operation": "filter", "contains": "nowhere"})
    with pytest.raises(DatasetRejected, match="empty_dataset"):
        plinth.datasets.wait(emptied.id, timeout_seconds=60)


def test_the_command_fixes_what_the_report_suggests(stack: RunningStack, tmp_path: Path) -> None:
    lines = reviews()
    path = write(tmp_path, [*lines, *lines[:20], "one,two,three,four"])

    def command(*arguments: str):
        return run(*arguments, environment=stack.environment())

    assert command("upload", str(path), "--name", "mended").returncode == 1
    shown = command("datasets", "fix", "mended", "--also", "nothing")
    assert shown.returncode == 2
    fixed = command("datasets", "fix", "mended", "--yes")
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert "apply       1 x errors of single rows" in fixed.stdout
    assert "mended@2 is ready, from mended@1" in fixed.stdout

    declined = command("datasets", "fix", "mended")
    assert declined.returncode == 2, "without a terminal nobody agrees"
    assert "--yes" in declined.stderr
    fixed = command("datasets", "fix", "mended", "-y")
    assert "x duplicate_rows" in fixed.stdout
    assert "mended@3 is ready, from mended@2" in fixed.stdout
    rows = command("datasets", "rows", "mended@2", "duplicate_rows")
    assert rows.stdout.split()[:5] == ["split", "index", "file", "row", "resembles"]
    assert "reviews.csv" in rows.stdout

    operations = tmp_path / "operations.json"
    operations.write_text(json.dumps([{"operation": "sample", "rows": 30}]))
    derived = command("datasets", "derive", "mended", str(operations), "--name", "small")
    assert "small@1 is ready, from mended@3" in derived.stdout, derived.stderr
    wrong = command("datasets", "derive", "mended", '{"operation": "samle"}')
    assert wrong.returncode == 1
    assert "sample" in wrong.stderr


def test_a_license_beside_the_data_is_kept_shown_and_can_be_refused(
    plinth: Plinth, stack: RunningStack, tmp_path: Path
) -> None:
    folder = tmp_path / "licensed"
    folder.mkdir()
    write(folder, reviews())
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n# Reviews\n")
    dataset = plinth.datasets.wait(plinth.datasets.upload(folder, name="licensed").id, timeout_seconds=60)
    assert dataset.license == "CC-BY-NC-SA-4.0"
    derived = plinth.datasets.derive("licensed", {"operation": "dedupe"})
    assert plinth.datasets.wait(derived.id, timeout_seconds=60).license == "CC-BY-NC-SA-4.0"
    spec = {"kind": "finetune", "dataset": "licensed", "task": "text_classification", "model": "licensed"}
    [license] = plinth.jobs.licenses(spec)
    assert (license.reference, license.license, license.noncommercial) == ("licensed@2", "CC-BY-NC-SA-4.0", True)
    shown = run("train", "licensed", "--dry-run", environment=stack.environment()).stdout
    assert "license of dataset licensed@2: CC-BY-NC-SA-4.0  excludes commercial use" in shown
    assert "nothing was started" in shown
    with pytest.raises(PlinthError, match="excludes commercial use"):
        plinth.jobs.submit({**spec, "allow_noncommercial": False})
    job = plinth.jobs.submit({**spec, "schedule": {"epochs": 1}})
    assert [(license.reference, license.noncommercial) for license in job.licenses] == [("licensed@2", True)]
    model = plinth.jobs.wait(job.id, timeout_seconds=120).model
    assert model is not None
    version = plinth.models.get(str(model))
    assert [license.license for license in version.licenses] == ["CC-BY-NC-SA-4.0"]
