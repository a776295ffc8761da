"""Two processes that train together."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ml.learning.nn.objectives import OBJECTIVES
from ml.learning.training.checkpoint import Checkpoints
from ml.learning.training.distributed import SingleProcess
from tests.support.ml import divided_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


def _run_ranks(folder: Path, count: int, device: str) -> dict[str, Any]:
    """Train in several processes; returns the report of rank 0."""
    paths = [str(folder / "rendezvous"), str(folder / "report.json")]
    command = [sys.executable, "-m", "tests.support.ml.divided_runs"]
    ranks = [subprocess.Popen([*command, str(rank), str(count), *paths, device]) for rank in range(count)]
    try:
        assert [rank.wait(240) for rank in ranks] == [0] * count
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    results: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return results


@pytest.fixture(scope="module")
def by_two_ranks(folder: Path) -> dict[str, Any]:
    """Results of two processes for every objective."""
    return _run_ranks(folder, 2, "cpu")


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_two_ranks_make_the_weights_of_one_process_that_accumulates_two_parts(
    name: str, by_two_ranks: dict[str, Any]
) -> None:
    alone = divided_runs.train(name, accumulate=2, processes=SingleProcess())
    assert alone["steps"] == 6
    assert by_two_ranks[name] == alone


def test_one_process_continues_from_a_checkpoint_of_two_with_the_same_weights(
    folder: Path, by_two_ranks: dict[str, Any]
) -> None:
    checkpoints = Checkpoints(folder)
    checkpoint, _ = checkpoints.load_newest({"supervised"})
    assert checkpoint is not None
    assert (checkpoint.state["step"], checkpoint.state["ranks"]) == (4, 2)
    resumed = divided_runs.train("supervised", accumulate=2, processes=SingleProcess(), checkpoints=checkpoints)
    assert resumed == by_two_ranks["supervised"]


def test_both_ranks_stop_after_the_step_at_which_one_of_them_is_asked_to(by_two_ranks: dict[str, Any]) -> None:
    assert by_two_ranks["steps until a stop"] == 2


def test_ranks_listen_on_the_loopback_interface_alone(by_two_ranks: dict[str, Any]) -> None:
    assert by_two_ranks["addresses"] == ["127.0.0.1"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL needs a GPU for each rank")
def test_two_gpus_train_as_one_that_accumulates_two_parts(tmp_path: Path) -> None:
    alone = divided_runs.train("supervised", accumulate=2, processes=SingleProcess(), device=torch.device("cuda:0"))
    together = _run_ranks(tmp_path, 2, "cuda")["supervised"]
    # Convolutions on a GPU add in no fixed order.
    assert together["metrics"] == pytest.approx(alone["metrics"], rel=1e-3)
