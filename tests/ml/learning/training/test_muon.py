"""Muon trains the matrices of hidden layers, and AdamW everything else."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim

from ml.config import Choice
from ml.errors import TrainingInterrupted
from ml.learning.nn.network import build
from ml.learning.training.muon import IS_MATRIX, MuonWithAdamW, hidden_matrices
from ml.learning.training.progress import Stop
from ml.learning.training.trainer import Trainer
from tests.support.ml.toys import Toy, schedule, trainer


class DeepToy(Toy):
    """A toy whose layers are those of a backbone, with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict({"x": self.layers[:-1]})
        self.output = self.layers[-1]
        self.layers = nn.Sequential()

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        output = self.output(self.backbones["x"](batch["x"])).squeeze(1)
        return {"loss": (output - batch["y"]).square().mean()}


def make_trainer(folder: Path, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    return trainer(folder, objective=DeepToy(), schedule=schedule(epochs=3, optimizer="muon"), **changes)


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.objective.state_dict().items()}


def test_matrices_of_hidden_layers_are_those_of_no_embedding_and_of_no_head() -> None:
    network = build(
        {"text": Choice(name="gpt", config={"width": 8, "layers": 1, "heads": 2})},
        shapes={"text": {"vocabulary": 20, "length": 8}},
        head=Choice(name="next_token", config={}),
    )
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    matrices = [names[id(parameter)] for parameter in hidden_matrices(network)]

    assert matrices
    assert all(name.startswith("backbones.text.") and "embed" not in name for name in matrices)
    assert any("mlp" in name for name in matrices)


def test_a_matrix_moves_as_by_muon_alone_and_a_bias_as_by_adamw_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(4, 3, generator=generator) for _ in range(2))
    pairs = [nn.Parameter(start.clone()) for _ in range(4)]
    matrix, other, alone_matrix, alone_other = pairs
    both = MuonWithAdamW(
        [{"params": [other], IS_MATRIX: False}, {"params": [matrix], IS_MATRIX: True}], 0.1, weight_decay=0.01
    )
    muon = optim.Muon([alone_matrix], 0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adamw = optim.AdamW([alone_other], 0.1, weight_decay=0.01, fused=True)
    for _ in range(3):
        for parameter in pairs:
            parameter.grad = gradient.clone()
        for optimizer in (both, muon, adamw):
            optimizer.step()

    assert torch.equal(matrix, alone_matrix)
    assert torch.equal(other, alone_other)
    assert not torch.equal(matrix, other)


def test_the_rate_of_the_schedule_holds_for_both() -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    optimizer = MuonWithAdamW([{"params": [parameter], IS_MATRIX: True}], 0.1, weight_decay=0.0)
    parameter.grad = torch.eye(2)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()

    assert torch.equal(parameter, torch.ones(2, 2))


@pytest.mark.parametrize("step", [1, 8, 17])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, step: int) -> None:
    calls = iter(range(1, 1000))
    whole = make_trainer(tmp_path / "whole")
    whole.fit()
    with pytest.raises(TrainingInterrupted):
        make_trainer(tmp_path / "cut", should_stop=lambda: Stop.LEAVE if next(calls) == step else None).fit()
    again = make_trainer(tmp_path / "cut")
    again.fit()

    assert [group[IS_MATRIX] for group in again.optimizer.param_groups].count(True) == 1
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(whole).items())
