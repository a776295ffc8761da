"""What holds for each architecture, whatever it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from ml.config import Config
from ml.errors import SpecError
from ml.learning.export.onnx import export
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.architectures.base import Backbone, BackboneState
from ml.learning.nn.heads.base import Head
from ml.learning.nn.network import Network
from ml.signals import Feature, Signal

SHAPES: dict[Signal, list[dict[str, int]]] = {
    Signal.IMAGE: [{"channels": 1, "height": 8, "width": 8}, {"channels": 3, "height": 13, "width": 9}],
    Signal.TOKENS: [{"vocabulary": 11, "length": 12}],
    Signal.FRAMES: [{"bins": 5}],
}
#: Of rows that stand in one batch.
LENGTHS = (9, 4, 7, 1)

every = pytest.mark.parametrize("name", list(ARCHITECTURES))


def _cases(*signals: Signal, given: Feature | None = None, state: bool = False) -> list[Any]:
    """Each architecture, each shape of each signal, and each config that a slot's needs may settle."""
    return [
        pytest.param(name, shape, needed, id=f"{name}-{needed}-{shape}")
        for name, architecture in ARCHITECTURES.items()
        for signal in sorted(architecture.accepts.intersection(signals or Signal))
        for shape in SHAPES[signal]
        for needed in {str(_config(name, each)): each for each in sorted(architecture.provides)}.values()
        if given is None or given in _built(name, shape, needed)(_signal(shape))
        if not state or _built(name, shape, needed).widths.state
    ]


def _config(name: str, needed: Feature) -> Any:
    architecture = ARCHITECTURES[name]
    return architecture.adapted(architecture.tiny(), frozenset({needed}))


def _built(name: str, shape: dict[str, int], needed: Feature, **more: Any) -> Backbone:
    torch.manual_seed(0)
    return ARCHITECTURES[name](_config(name, needed), shape=shape, **more)


def _signal(shape: dict[str, int], rows: int = 4) -> torch.Tensor:
    generator = torch.manual_seed(1)
    if "vocabulary" in shape:
        return torch.randint(shape["vocabulary"], (rows, max(LENGTHS)), generator=generator)
    if "bins" in shape:
        return torch.randn(rows, max(LENGTHS), shape["bins"], generator=generator)
    return torch.rand(rows, shape["channels"], shape["height"], shape["width"], generator=generator)


def _mask() -> torch.Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_it_gives_what_it_promises_in_the_widths_it_tells(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _built(name, shape, needed)
    features = backbone(_signal(shape))
    assert {needed} <= features.keys() <= backbone.provides
    assert all(len(each) == 4 and each.isfinite().all() for tensors in features.values() for each in tensors)
    widths = backbone.widths
    assert widths.shape == shape
    expected = {
        Feature.POOLED: [(widths.pooled,)],
        Feature.AUXILIARY: [(widths.auxiliary,)],
        Feature.LATENT: [(widths.latent,)] * 2,
        Feature.MAPS: [(width,) for width in widths.maps],
        Feature.SEQUENCE: [(max(LENGTHS), widths.sequence)],
        Feature.CAUSAL: [(max(LENGTHS), widths.causal)],
    }
    for feature, tensors in features.items():
        found = [tuple(each.shape[1:]) for each in tensors]
        assert [each[: len(wide)] for each, wide in zip(found, expected[feature], strict=True)] == expected[feature]


@every
def test_maps_are_as_many_times_smaller_as_it_says(name: str) -> None:
    if Feature.MAPS not in ARCHITECTURES[name].provides:
        pytest.skip("it gives no maps")
    sides = {"height": 80, "width": 112}
    backbone = _built(name, {"channels": 1, **sides}, Feature.MAPS)
    maps, strides = backbone(torch.rand(2, 1, 80, 112))[Feature.MAPS], backbone.widths.strides
    assert len(strides) == len(maps)
    for stride, each in zip(strides, maps, strict=True):
        for found, side in zip(each.shape[2:], sides.values(), strict=True):
            # What windows cannot see at the edges makes it some places less, rounding up one more.
            assert side / stride - 6 <= found <= side / stride + 1


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_what_exists_only_while_training_is_let_go(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal = _built(name, shape, needed), _signal(shape)
    backbone(signal)
    expected = backbone.eval()(signal)
    assert Feature.AUXILIARY not in expected
    config = {**_config(name, needed).model_dump(), **backbone.strip_training_only()}
    again = ARCHITECTURES[name](backbone.config_type.model_validate(config), shape=shape).eval()
    again.load_state_dict(backbone.state_dict())
    found = again(signal)
    assert again.widths.auxiliary == 0
    for feature, tensors in expected.items():
        assert all(torch.equal(one, other) for one, other in zip(tensors, found[feature], strict=True))


@every
def test_a_slot_that_needs_a_feature_gets_it(name: str) -> None:
    architecture = ARCHITECTURES[name]
    shape = SHAPES[min(architecture.accepts)][0]
    for needed in architecture.provides:
        assert needed in _built(name, shape, needed)(_signal(shape))


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_what_stands_in_padding_changes_nothing(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal, mask = _built(name, shape, needed).eval(), _signal(shape), _mask()
    other = torch.where(mask if signal.ndim == 2 else mask.unsqueeze(2), signal, signal.flip(0, 1))
    assert not torch.equal(other, signal)
    found, expected = backbone(other, mask), backbone(signal, mask)
    for feature, (same,) in found.items():
        one = expected[feature][0]
        assert torch.equal(same, one) if feature == Feature.POOLED else torch.equal(same[mask], one[mask])


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_gradients_reach_every_parameter(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _built(name, shape, needed)
    features = backbone(_signal(shape))
    generator = torch.manual_seed(2)
    loss = sum(
        (each * torch.rand(each.shape, generator=generator)).sum() for tensors in features.values() for each in tensors
    )
    loss.backward()
    unmoved = [key for key, each in backbone.named_parameters() if each.grad is None or not each.grad.abs().sum() > 0]
    assert not unmoved


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_weights_survive_the_disk(name: str, shape: dict[str, int], needed: Feature, tmp_path: Path) -> None:
    backbone = _built(name, shape, needed)
    backbone(_signal(shape))  # moves running statistics
    save_file({key: each.contiguous() for key, each in backbone.state_dict().items()}, tmp_path / "weights")
    torch.manual_seed(3)
    again = ARCHITECTURES[name](_config(name, needed), shape=shape)
    again.load_state_dict(load_file(tmp_path / "weights"))
    backbone.eval(), again.eval()
    found, expected = again(_signal(shape)), backbone(_signal(shape))
    for feature, tensors in expected.items():
        assert all(torch.equal(one, other) for one, other in zip(tensors, found[feature], strict=True))


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_a_row_gets_the_same_features_alone_and_among_others(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _built(name, shape, needed).eval()
    alone, among = backbone(_signal(shape)[:1]), backbone(_signal(shape))
    for feature, tensors in alone.items():
        for one, others in zip(tensors, among[feature], strict=True):
            torch.testing.assert_close(one, others[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_a_row_gets_the_same_features_whatever_padding_stands_beside_it(
    name: str, shape: dict[str, int], needed: Feature
) -> None:
    backbone, signal, mask = _built(name, shape, needed).eval(), _signal(shape), _mask()
    padded = backbone(signal, mask)
    for row, length in enumerate(LENGTHS):
        for feature, (alone,) in backbone(signal[row : row + 1, :length]).items():
            among = padded[feature][0][row : row + 1]
            among = among if feature == Feature.POOLED else among[:, :length]
            torch.testing.assert_close(among, alone, rtol=1e-4, atol=1e-5)  # sums of other lengths


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(given=Feature.CAUSAL))
def test_what_is_causal_does_not_see_the_future(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal = _built(name, shape, needed).eval(), _signal(shape)
    changed = signal.clone()
    changed[:, 5:] = changed[:, 5:].flip(0)
    before, after = backbone(signal)[Feature.CAUSAL][0], backbone(changed)[Feature.CAUSAL][0]
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after[:, 5:], before[:, 5:], rtol=1e-3)


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(state=True))
def test_reading_piece_by_piece_gives_what_reading_at_once_gives(
    name: str, shape: dict[str, int], needed: Feature
) -> None:
    backbone, signal, mask = _built(name, shape, needed).eval(), _signal(shape), _mask()
    at_once = backbone(signal, mask)[Feature.CAUSAL][0]
    nothing = BackboneState(
        torch.zeros(len(signal), 0, backbone.widths.state), torch.zeros(len(signal), 0, dtype=torch.bool)
    )
    state, pieces = nothing, []
    for start, end in ((0, 3), (3, 4), (4, 9)):
        features, state = backbone.resume(signal[:, start:end], mask[:, start:end], state)
        pieces.append(features[Feature.CAUSAL][0])
    torch.testing.assert_close(torch.cat(pieces, dim=1)[mask], at_once[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(state=True))
def test_rows_that_were_read_apart_can_go_on_together(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal = _built(name, shape, needed).eval(), _signal(shape)
    width = backbone.widths.state
    nothing = BackboneState(torch.zeros(1, 0, width), torch.zeros(1, 0, dtype=torch.bool))
    states, expected = [], []
    for row, length in enumerate(LENGTHS):
        read = signal[row : row + 1, :length]
        states.append(backbone.resume(read, torch.ones_like(read, dtype=torch.bool), nothing)[1])
        expected.append(backbone(torch.cat([read, signal[row : row + 1, :2]], dim=1))[Feature.POOLED][0])
    longest = max(state.mask.shape[1] for state in states)
    missing = [longest - state.mask.shape[1] for state in states]
    memory = [functional.pad(state.memory, (0, 0, gap, 0)) for state, gap in zip(states, missing, strict=True)]
    masks = [functional.pad(state.mask, (gap, 0)) for state, gap in zip(states, missing, strict=True)]
    together = BackboneState(torch.cat(memory), torch.cat(masks))
    features, _ = backbone.resume(signal[:, :2], torch.ones(len(LENGTHS), 2, dtype=torch.bool), together)
    torch.testing.assert_close(features[Feature.POOLED][0], torch.cat(expected), rtol=1e-4, atol=1e-5)


class _Everything(Head):
    """Answers the features as they are."""

    name = "everything"
    summary = "for tests"
    needs = frozenset()
    config_type = Config
    outputs = ()

    def __init__(self) -> None:
        super().__init__(Config(), widths={})

    def forward(self, features: Any, batch: Any) -> Any:
        return {str(feature): each for given in features.values() for feature, (each,) in given.items()}

    def loss(self, outputs: Any, batch: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_its_graph_reads_any_number_of_rows_of_any_length(
    name: str, shape: dict[str, int], needed: Feature, tmp_path: Path
) -> None:
    network = Network({"read": _built(name, shape, needed)}, head=_Everything())
    signal, mask = _signal(shape), _mask()
    calls = [
        {"read": signal[start:end, :length], "read_mask": mask[start:end, :length]}
        for start, end, length in ((0, 4, 9), (1, 2, 4), (0, 3, 9), (2, 3, 7))
    ]
    made = export(network, {"model": calls}, tmp_path, variable_axes={"read": (1,), "read_mask": (1,)})
    assert made.graphs, made.reason
    assert needed in made.graphs["model"].outputs


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_a_gpu_says_the_same(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _built(name, shape, needed).eval()
    here = backbone(_signal(shape))
    there = backbone.to("cuda")(_signal(shape).to("cuda"))
    for feature, tensors in here.items():
        for one, other in zip(tensors, there[feature], strict=True):
            torch.testing.assert_close(one, other.cpu(), rtol=1e-3, atol=1e-4)


@every
def test_every_preset_is_a_config_and_the_first_is_the_default(name: str) -> None:
    architecture = ARCHITECTURES[name]
    configs = {preset: architecture.configure({"preset": preset}) for preset in architecture.presets}
    assert architecture.configure({}) == next(iter(configs.values()))
    assert len(set(map(str, configs.values()))) == len(configs)


@every
def test_an_unknown_preset_lists_the_known_ones(name: str) -> None:
    with pytest.raises(SpecError, match=next(iter(ARCHITECTURES[name].presets))):
        ARCHITECTURES[name].configure({"preset": "enormous"})


@every
def test_it_says_what_it_is_and_how_to_train_it(name: str) -> None:
    architecture = ARCHITECTURES[name]
    assert architecture.summary
    assert architecture.source
    recipe = architecture.recipe
    assert recipe.epochs
    assert recipe.optimizer
    assert recipe.learning_rate
