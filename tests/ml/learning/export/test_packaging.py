"""What the graphs of a package are asked about before it is one."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.rows import Rows
from ml.learning.export.packaging import as_requests
from ml.tasks import TASKS
from tests.support.ml import packages, samples
from tests.support.ml.digits import run, spec

FOREIGN = "\u96f6"


def with_foreign(rows: Rows, which: set[int]) -> Rows:
    texts = [FOREIGN if index in which else text for index, text in enumerate(rows.columns["text"])]
    return Rows({**rows.columns, "text": texts})


def test_rows_that_no_request_may_hold_are_not_asked() -> None:
    task = packages.lesson("speech_synthesis").task
    rows = samples.dataset(TASKS["speech_synthesis"].columns).rows("train")
    assert task is not None

    assert len(as_requests(task, with_foreign(rows, {0, 2}))) == len(rows) - 2


@pytest.mark.parametrize("share", ["some", "all"])
def test_letters_that_are_only_held_out_cost_no_model(
    share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may well be: whoever divides rows by chance divides letters, too."""
    data = samples.path(TASKS["speech_synthesis"].columns)
    rows_of = Dataset.rows

    def rows(self: Dataset, split: str) -> Any:
        found = rows_of(self, split)
        foreign = set() if split == "train" else {0} if share == "some" else set(range(len(found)))
        return with_foreign(found, foreign)

    monkeypatch.setattr(Dataset, "rows", rows)
    made = run(data, tmp_path, spec("finetune", task="speech_synthesis", architectures={"text": "transformer"}))

    assert made.package.manifest.graphs
    assert made.report is not None
    assert made.report["outside_alphabet"]["rows"] >= 1
