"""Two processes that train together."""

import json
import subprocess
import sys
from typing import Any

import pytest

from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.distributed import SingleProcess
from tests.support.ml import divided_runs


@pytest.fixture(scope="module")
def by_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of two processes for every objective."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.support.ml.divided_runs"]
    ranks = [
        subprocess.Popen([*command, str(rank), "2", str(folder / "rendezvous"), str(folder / "report.json")])
        for rank in range(2)
    ]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    results: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return results


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_two_ranks_make_the_weights_of_one_process_that_accumulates_two_parts(
    name: str, by_two_ranks: dict[str, Any]
) -> None:
    alone = divided_runs.train(name, accumulate=2, processes=SingleProcess())
    assert alone["steps"] == 6
    assert by_two_ranks[name] == alone
