"""Properties of each attack on each architecture whose signal can be perturbed."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ml.config import Choice
from ml.encoders import ENCODERS
from ml.encoders.base import Encoder
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.network import Network, build
from ml.learning.nn.objectives.supervised import Supervised, SupervisedConfig
from ml.learning.training.adversarial import AdversarialObjective, perturb, perturbation_spaces
from ml.learning.training.attacks import ATTACKS
from ml.learning.training.perturbation import DEFAULTS
from ml.signals import Signal

ROWS = 12
SHAPES: dict[Signal, dict[str, int]] = {
    Signal.IMAGE: {"channels": 1, "height": 8, "width": 8},
    Signal.TOKENS: {"vocabulary": 11, "length": 12},
    Signal.FRAMES: {"bins": 5},
}
PAIRS = [
    (architecture, signal)
    for architecture, backbone in ARCHITECTURES.items()
    for signal in sorted(backbone.accepts)
    if signal in DEFAULTS
]


class _Encoder(Encoder[Any]):
    """An encoder of which an attack reads the signal and the normalization alone."""

    def __init__(self, signal: Signal) -> None:
        image = ENCODERS["image"].config_type
        super().__init__(image(height=8, width=8, channels=1, mean=(0.4,), deviation=(0.5,)))  # type: ignore[call-arg]
        self.signal = signal  # type: ignore[misc]

    encode = collate = shape = learn = None  # type: ignore[assignment]


_Encoder.__abstractmethods__ = frozenset()


def _network(architecture: str, signal: Signal) -> Network:
    torch.manual_seed(0)
    choice = Choice(name=architecture, config=ARCHITECTURES[architecture].tiny().model_dump(mode="json"))
    head = Choice(name="classifier", config={"classes": 3})
    return build({"it": choice}, shapes={"it": SHAPES[signal]}, head=head)


def _batch(signal: Signal) -> dict[str, Tensor]:
    generator, label = torch.manual_seed(1), torch.arange(ROWS) % 3
    if signal is Signal.IMAGE:
        pixels = torch.rand(ROWS, 1, 8, 8, generator=generator)
        return {"it": (pixels - 0.4) / 0.5, "label": label}
    mask = torch.arange(9) < torch.randint(1, 10, (ROWS, 1), generator=generator)
    if signal is Signal.TOKENS:
        return {"it": torch.randint(0, 11, (ROWS, 9), generator=generator), "it_mask": mask, "label": label}
    frames = torch.randn(ROWS, 9, 5, generator=generator) * mask.unsqueeze(2)
    return {"it": frames, "it_mask": mask, "label": label}


@pytest.mark.parametrize(("architecture", "signal"), PAIRS)
@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_raises_the_loss_within_its_radius_and_range(name: str, architecture: str, signal: Signal) -> None:
    network, batch = _network(architecture, signal).eval(), _batch(signal)
    attack = ATTACKS[name](ATTACKS[name].config_type())
    (space,) = perturbation_spaces(network, {"it": _Encoder(signal)}, attack.config)
    perturbation = {"it": space.perturbation(batch)}

    def loss(deltas: Any) -> Tensor:
        with perturb(batch, perturbation, deltas) as attacked:
            return network.compute_losses(attacked)["loss"]

    torch.manual_seed(2)
    deltas = attack.search(loss, perturbation)
    norm, _ = DEFAULTS[signal]
    delta, limit = deltas["it"], perturbation["it"].ball.radius
    rows = delta.flatten(1)
    sizes = rows.abs().amax(dim=1) if norm == "linf" else rows.norm(dim=1)
    assert (sizes <= limit.reshape(-1) * 1.0001).all()
    with torch.no_grad():
        assert float(loss(deltas)) > float(loss({"it": perturbation["it"].zeros()}))
    if signal is Signal.IMAGE:
        with perturb(batch, perturbation, deltas) as attacked:
            pixels = attacked["it"] * 0.5 + 0.4
        assert float(pixels.min()) >= -1e-6
        assert float(pixels.max()) <= 1 + 1e-6
    else:
        assert not delta[~batch["it_mask"]].any()


@pytest.mark.parametrize("name", list(ATTACKS))
def test_training_on_attacked_rows_leaves_no_trace_in_the_network(name: str) -> None:
    network, batch = _network("transformer", Signal.TOKENS), _batch(Signal.TOKENS)
    names = list(network.state_dict())
    attack = ATTACKS[name](ATTACKS[name].config_type(clean_weight=0.5))
    spaces = perturbation_spaces(network, {"it": _Encoder(Signal.TOKENS)}, attack.config)
    objective = AdversarialObjective(Supervised(SupervisedConfig(), network), attack, spaces).train()
    objective(batch)["loss"].backward()
    assert list(network.state_dict()) == names
    assert not any(module._forward_hooks for module in network.modules())
    assert all(weight.grad is not None for weight in network.parameters() if weight.requires_grad)
    assert network.training
    scores = objective.eval()(batch)
    assert scores.keys() >= {"loss", "accuracy", "robust_accuracy"}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_same_random_state_gives_the_same_attack(name: str) -> None:
    network, batch = _network("cnn", Signal.IMAGE), _batch(Signal.IMAGE)
    attack = ATTACKS[name](ATTACKS[name].config_type())
    spaces = perturbation_spaces(network, {"it": _Encoder(Signal.IMAGE)}, attack.config)
    objective = AdversarialObjective(Supervised(SupervisedConfig(), network), attack, spaces).eval()
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(float(objective(batch)["loss"].detach()))
    assert losses[0] == losses[1]


def test_texts_are_learned_from_as_they_are_too() -> None:
    for architecture, signal, weight in (("transformer", Signal.TOKENS, 0.5), ("cnn", Signal.IMAGE, 0.0)):
        network, attack = _network(architecture, signal), ATTACKS["fgsm"](ATTACKS["fgsm"].config_type())
        spaces = perturbation_spaces(network, {"it": _Encoder(signal)}, attack.config)
        objective = AdversarialObjective(Supervised(SupervisedConfig(), network), attack, spaces)
        assert objective.clean_weight == weight
        objective.attack.config = attack.config.model_copy(update={"clean_weight": 0.25})
        assert objective.clean_weight == 0.25


def test_a_radius_of_zero_changes_nothing() -> None:
    network, batch = _network("cnn", Signal.IMAGE), _batch(Signal.IMAGE)
    attack = ATTACKS["pgd"](ATTACKS["pgd"].config_type(radius=0))
    spaces = perturbation_spaces(network, {"it": _Encoder(Signal.IMAGE)}, attack.config)
    objective = AdversarialObjective(Supervised(SupervisedConfig(), network), attack, spaces).eval()
    scores = objective(batch)
    assert float(scores["robust_accuracy"]) == float(scores["accuracy"])
