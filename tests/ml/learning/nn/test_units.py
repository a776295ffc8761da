"""A network without some units equals the whole one with zeros there."""

from typing import Any

import pytest
import torch

from ml.config import Choice
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.network import Network, build
from ml.learning.nn.units import Units, cut, find_units, spell_out, with_counts
from ml.signals import Signal

CLASSIFIER = Choice(name="classifier", config={"classes": 3})
SHAPES: dict[Signal, dict[str, int]] = {
    Signal.IMAGE: {"channels": 1, "height": 9, "width": 8},
    Signal.TOKENS: {"vocabulary": 20, "length": 7},
    Signal.FRAMES: {"bins": 6},
}
PRUNABLE = [name for name in ARCHITECTURES if ARCHITECTURES[name].prunable]
MORE: list[tuple[str, dict[str, Any]]] = [
    ("cnn", {"stages": [[3, 4], [5]], "pooling": "flatten", "hidden": 6}),
    ("resnet", {"stages": [[4, 2], [6, 1]], "block": "basic"}),
    ("gpt", {"family": "gpt2", "width": 8, "layers": 2, "heads": 2}),
    ("gpt", {"family": "opt", "width": 8, "layers": 1, "heads": 2}),
    ("bert", {"family": "distilbert", "width": 8, "layers": 2, "heads": 2}),
    ("rnn", {"width": 8, "cell": "gru", "directions": "forward", "state_width": 5}),
]


def tiny(name: str) -> dict[str, Any]:
    return ARCHITECTURES[name].tiny().model_dump(mode="json")


def make_input(signal: Signal) -> dict[str, torch.Tensor]:
    shape = SHAPES[signal]
    if signal is Signal.IMAGE:
        return {"input": torch.rand(4, *shape.values())}
    mask = torch.arange(7) < torch.tensor([[7], [5], [7], [3]])
    data = torch.randint(20, (4, 7)) if signal is Signal.TOKENS else torch.rand(4, 7, shape["bins"])
    return {"input": data, "input_mask": mask}


def build_random(choice: Choice, signal: Signal, head: Choice | None) -> Network:
    torch.manual_seed(0)
    network = build({"input": choice}, shapes={"input": SHAPES[signal]}, head=head)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.4 + 0.1)
    return network.eval()


def without(tensors: dict[str, torch.Tensor], units: Units, position: int) -> None:
    """Write zeros to all slices of a unit."""
    for name, dimensions in units.tensors.items():
        for dimension in dimensions:
            tensors[name].index_fill_(dimension, units.positions(name, dimension, torch.tensor([position])), 0.0)


@pytest.mark.parametrize(("name", "config"), [*((name, tiny(name)) for name in PRUNABLE), *MORE])
def test_a_cut_network_equals_the_masked_one(name: str, config: dict[str, Any]) -> None:
    signal = min(ARCHITECTURES[name].accepts & SHAPES.keys())
    choice = spell_out(Choice(name=name, config=config))
    whole = build_random(choice, signal, CLASSIFIER)
    units = find_units({"input": choice}, shapes={"input": SHAPES[signal]}, head=CLASSIFIER)
    assert {item.option[0] for item in units} <= set(ARCHITECTURES[name].prunable)
    assert units

    counts = {(item.slot, item.option): max(1, item.count // 2) for item in units}
    retained = []
    for number, item in enumerate(units):
        order = torch.randperm(item.count, generator=torch.Generator().manual_seed(number))
        retained.append((item, order[: counts[item.slot, item.option]].sort().values))
    smaller = build({"input": with_counts(choice, "input", counts)}, shapes={"input": SHAPES[signal]}, head=CLASSIFIER)
    smaller.load_state_dict(cut(whole.state_dict(), retained))
    tensors = whole.state_dict()
    for item, indices in retained:
        for position in set(range(item.count)) - set(indices.tolist()):
            without(tensors, item, position)
    batch = make_input(signal)

    # Sums of the same numbers in another order.
    torch.testing.assert_close(smaller.eval().infer(batch), whole.infer(batch), rtol=1e-4, atol=1e-5)
    assert sum(weight.numel() for weight in smaller.parameters()) < sum(weight.numel() for weight in whole.parameters())


def test_units_that_the_head_reads_stay() -> None:
    choice = spell_out(Choice(name="cnn", config={"stages": [[3, 4], [5]]}))
    shapes = {"image": SHAPES[Signal.IMAGE]}

    classifier = find_units({"image": choice}, shapes=shapes, head=CLASSIFIER)
    boxes = find_units({"image": choice}, shapes=shapes, head=Choice(name="boxes", config={"classes": 2}))

    assert [units.label for units in classifier] == ["image.stages.0.0", "image.stages.0.1"]
    assert [units.label for units in boxes] == ["image.stages.0.0"], "maps of every stage are read"
    assert find_units({"image": choice}, shapes=shapes, head=None) == boxes
