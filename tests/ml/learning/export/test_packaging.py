"""Rows that the graphs of a package are compared on."""

from pathlib import Path
from typing import Any

import pytest

from ml.data.dataset import Dataset
from ml.data.rows import Rows
from ml.learning.export.packaging import to_requests
from ml.tasks import TASKS
from tests.support.ml import packages, samples
from tests.support.ml.digits import run, spec

FOREIGN = "\u96f6"


def with_foreign(rows: Rows, positions: set[int]) -> Rows:
    texts = [FOREIGN if index in positions else text for index, text in enumerate(rows.columns["text"])]
    return Rows({**rows.columns, "text": texts})


def test_rows_that_no_request_may_hold_are_left_out() -> None:
    task = packages.make_toy_plan("speech_synthesis").task
    rows = samples.dataset(samples.columns_read_by(TASKS["speech_synthesis"])).rows("train")
    assert task is not None

    assert len(to_requests(task, with_foreign(rows, {0, 2}))) == len(rows) - 2


@pytest.mark.parametrize("affected", ["some", "all"])
def test_characters_in_held_out_rows_alone_prevent_no_model(
    affected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random split of rows may leave a character in held-out rows alone."""
    data = samples.path(samples.columns_read_by(TASKS["speech_synthesis"]))
    rows_of = Dataset.rows

    def rows_with_foreign(self: Dataset, split: str) -> Any:
        rows = rows_of(self, split)
        foreign = set() if split == "train" else {0} if affected == "some" else set(range(len(rows)))
        return with_foreign(rows, foreign)

    monkeypatch.setattr(Dataset, "rows", rows_with_foreign)
    result = run(data, tmp_path, spec("finetune", task="speech_synthesis", architectures={"text": "transformer"}))

    assert result.package.manifest.graphs
    assert result.report["outside_alphabet"]["rows"] >= 1
