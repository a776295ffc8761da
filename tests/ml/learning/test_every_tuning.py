"""What holds for each tuning: what it freezes stays, and the package needs no trace of it."""

from typing import Any

import pytest
import torch

from ml.learning.network import Network, build
from ml.learning.tuning import TUNINGS
from ml.spec import Choice

SHAPE = {"channels": 1, "height": 8, "width": 8}

every = pytest.mark.parametrize("name", list(TUNINGS))


def _network() -> Network:
    torch.manual_seed(0)
    head = Choice(name="classifier", config={"classes": 3})
    return build({"image": Choice(name="cnn", config={})}, shapes={"image": SHAPE}, head=head)


def _batch() -> dict[str, torch.Tensor]:
    return {"image": torch.rand(12, 1, 8, 8, generator=torch.manual_seed(1)), "label": torch.arange(12) % 3}


def _tuned(name: str) -> tuple[Any, Network]:
    kind, network = TUNINGS[name], _network()
    tuning = kind(kind.config_type())
    tuning.apply(network)
    return tuning, network


def _trained(network: Network, steps: int = 5) -> None:
    moving = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(moving, 0.01)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        network.losses(_batch())["loss"].backward()
        optimizer.step()


@every
def test_what_is_frozen_stays_and_the_rest_moves(name: str) -> None:
    _, network = _tuned(name)
    frozen = {key for key, each in network.named_parameters() if not each.requires_grad}
    before = {key: each.detach().clone() for key, each in network.named_parameters()}
    _trained(network)
    moved = {key for key, each in network.named_parameters() if not torch.equal(each, before[key])}
    assert moved
    assert not moved & frozen


@every
def test_merging_keeps_the_answers_and_leaves_the_usual_structure(name: str) -> None:
    tuning, network = _tuned(name)
    _trained(network)
    network.eval()
    before = network(_batch())["logits"]
    tuning.merge(network)
    assert torch.equal(network(_batch())["logits"], before)
    assert network.state_dict().keys() == _network().state_dict().keys()
    assert all(each.requires_grad for each in network.parameters())


def test_head_only_keeps_running_statistics_too() -> None:
    _, network = _tuned("head_only")
    before = {key: each.clone() for key, each in network.backbones.state_dict().items()}
    _trained(network)
    assert all(torch.equal(each, before[key]) for key, each in network.backbones.state_dict().items())


def test_a_merged_backbone_trains_again() -> None:
    tuning, network = _tuned("head_only")
    tuning.merge(network)
    before = network.backbones["image"].stages[0][1].running_mean.clone()
    _trained(network)
    assert not torch.equal(network.backbones["image"].stages[0][1].running_mean, before)
