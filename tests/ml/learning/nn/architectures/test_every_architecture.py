"""Contract tests of all architectures."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from ml.config import Config
from ml.errors import SpecError
from ml.generation.state import GenerationState
from ml.learning.export.onnx import export
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.architectures.base import Backbone, BackboneState, Features
from ml.learning.nn.heads.base import Head
from ml.learning.nn.network import Network
from ml.signals import Feature, Signal

SHAPES: dict[Signal, list[dict[str, int]]] = {
    Signal.IMAGE: [{"channels": 1, "height": 8, "width": 8}, {"channels": 3, "height": 13, "width": 9}],
    Signal.TOKENS: [{"vocabulary": 11, "length": 12}],
    Signal.FRAMES: [{"bins": 5}],
    Signal.RECORD: [
        {"numbers": 3, "quantile_bins": 4, "categorical": 2, "categories": 9},
        {"numbers": 2, "quantile_bins": 4, "categorical": 0, "categories": 0},
        {"numbers": 0, "quantile_bins": 4, "categorical": 2, "categories": 7},
    ],
}
#: Lengths of the rows of a batch.
LENGTHS = (9, 4, 7, 1)

every = pytest.mark.parametrize("name", list(ARCHITECTURES))


def _cases(*signals: Signal, provided: Feature | None = None, state: bool = False) -> list[Any]:
    """List architectures with the shapes of their signals and the configs adapted to each feature."""
    return [
        pytest.param(name, shape, needed, id=f"{name}-{needed}-{shape}")
        for name, architecture in ARCHITECTURES.items()
        for signal in sorted(architecture.accepts.intersection(signals or Signal))
        for shape in SHAPES[signal]
        for needed in {str(_config(name, feature)): feature for feature in sorted(architecture.provides)}.values()
        if provided is None or (provided in architecture.provides and _provides(name, shape, needed, provided))
        if not state or (architecture.resume is not Backbone.resume and _has_state(name, signal, needed))
    ]


def _provides(name: str, shape: dict[str, int], needed: Feature, feature: Feature) -> bool:
    return feature in _build(name, shape, needed)(_signal(shape))


@cache
def _has_state(name: str, signal: Signal, needed: Feature) -> bool:
    return bool(_build(name, SHAPES[signal][0], needed).widths.state)


def _config(name: str, needed: Feature) -> Any:
    architecture = ARCHITECTURES[name]
    return architecture.adapt_config(architecture.tiny(), frozenset({needed}))


def _build(name: str, shape: dict[str, int], needed: Feature, **options: Any) -> Backbone:
    torch.manual_seed(0)
    return ARCHITECTURES[name](_config(name, needed), shape=shape, **options)


def _signal(shape: dict[str, int], rows: int = 4) -> torch.Tensor:
    generator = torch.manual_seed(1)
    if "vocabulary" in shape:
        return torch.randint(shape["vocabulary"], (rows, max(LENGTHS)), generator=generator)
    if "bins" in shape:
        return torch.randn(rows, max(LENGTHS), shape["bins"], generator=generator)
    if "numbers" in shape:
        numbers = torch.rand(rows, 3 * shape["numbers"], generator=generator)
        codes = torch.randint(max(1, shape["categories"]), (rows, shape["categorical"]), generator=generator)
        return torch.cat([numbers, codes.float()], dim=1)
    return torch.rand(rows, shape["channels"], shape["height"], shape["width"], generator=generator)


def _mask() -> torch.Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_its_features_are_those_of_provides_and_widths(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _build(name, shape, needed)
    features = backbone(_signal(shape))
    assert {needed} <= features.keys() <= backbone.provides
    assert all(len(tensor) == 4 and tensor.isfinite().all() for tensors in features.values() for tensor in tensors)
    widths = backbone.widths
    assert widths.shape == shape
    # An image has as many positions as patches, which the architecture chooses.
    length = features[Feature.SEQUENCE][0].shape[1] if "height" in shape and widths.sequence else max(LENGTHS)
    expected = {
        Feature.POOLED: [(widths.pooled,)],
        Feature.AUXILIARY: [(widths.auxiliary,)],
        Feature.LATENT: [(widths.latent,)] * 2,
        Feature.MAPS: [(width,) for width in widths.maps],
        Feature.SEQUENCE: [(length, widths.sequence)],
        Feature.CAUSAL: [(length, widths.causal)],
    }
    for feature, tensors in features.items():
        actual = [tuple(tensor.shape[1:]) for tensor in tensors]
        assert [sizes[: len(width)] for sizes, width in zip(actual, expected[feature], strict=True)] == expected[
            feature
        ]


@every
def test_maps_have_the_strides_of_its_widths(name: str) -> None:
    if Feature.MAPS not in ARCHITECTURES[name].provides:
        pytest.skip("it provides no maps")
    sides = {"height": 80, "width": 112}
    backbone = _build(name, {"channels": 1, **sides}, Feature.MAPS)
    maps, strides = backbone(torch.rand(2, 1, 80, 112))[Feature.MAPS], backbone.widths.strides
    assert len(strides) == len(maps)
    for stride, feature_map in zip(strides, maps, strict=True):
        for length, side in zip(feature_map.shape[2:], sides.values(), strict=True):
            # Without padding at the edges there are some positions less; rounding up adds one.
            assert side / stride - 6 <= length <= side / stride + 1


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_modules_used_only_in_training_are_stripped(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal = _build(name, shape, needed), _signal(shape)
    backbone(signal)
    expected = backbone.eval()(signal)
    assert Feature.AUXILIARY not in expected
    config = {**_config(name, needed).model_dump(), **backbone.strip_training_only()}
    rebuilt = ARCHITECTURES[name](backbone.config_type.model_validate(config), shape=shape).eval()
    rebuilt.load_state_dict(backbone.state_dict())
    assert rebuilt.widths.auxiliary == 0
    _assert_equal(rebuilt(signal), expected)


def _assert_equal(actual: Features, expected: Features) -> None:
    assert actual.keys() == expected.keys()
    for feature, tensors in expected.items():
        assert all(torch.equal(*pair) for pair in zip(actual[feature], tensors, strict=True))


@every
def test_a_config_adapted_to_a_feature_provides_it(name: str) -> None:
    architecture = ARCHITECTURES[name]
    shape = SHAPES[min(architecture.accepts)][0]
    for needed in architecture.provides:
        assert needed in _build(name, shape, needed)(_signal(shape))


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_features_do_not_depend_on_padding(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal, mask = _build(name, shape, needed).eval(), _signal(shape), _mask()
    changed = torch.where(mask if signal.ndim == 2 else mask.unsqueeze(2), signal, signal.flip(0, 1))
    assert not torch.equal(changed, signal)
    features, expected = backbone(changed, mask), backbone(signal, mask)
    for feature, (tensor,) in features.items():
        reference = expected[feature][0]
        real = slice(None) if feature == Feature.POOLED else mask
        assert torch.equal(tensor[real], reference[real])


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_gradients_reach_every_parameter(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _build(name, shape, needed)
    features = backbone(_signal(shape))
    generator = torch.manual_seed(2)
    loss = sum(
        (tensor * torch.rand(tensor.shape, generator=generator)).sum()
        for tensors in features.values()
        for tensor in tensors
    )
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in backbone.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.abs().sum() > 0]


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_saved_weights_give_the_same_features(
    name: str, shape: dict[str, int], needed: Feature, tmp_path: Path
) -> None:
    backbone = _build(name, shape, needed)
    backbone(_signal(shape))  # updates running statistics
    save_file({key: tensor.contiguous() for key, tensor in backbone.state_dict().items()}, tmp_path / "weights")
    torch.manual_seed(3)
    loaded = ARCHITECTURES[name](_config(name, needed), shape=shape)
    loaded.load_state_dict(load_file(tmp_path / "weights"))
    _assert_equal(loaded.eval()(_signal(shape)), backbone.eval()(_signal(shape)))


@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_a_row_has_the_same_features_alone_and_in_a_batch(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _build(name, shape, needed).eval()
    alone, batched = backbone(_signal(shape)[:1]), backbone(_signal(shape))
    for feature, tensors in alone.items():
        for row, rows in zip(tensors, batched[feature], strict=True):
            torch.testing.assert_close(row, rows[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_a_row_has_the_same_features_alone_and_padded(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal, mask = _build(name, shape, needed).eval(), _signal(shape), _mask()
    padded = backbone(signal, mask)
    for row, length in enumerate(LENGTHS):
        for feature, (alone,) in backbone(signal[row : row + 1, :length]).items():
            batched = padded[feature][0][row : row + 1]
            batched = batched if feature == Feature.POOLED else batched[:, :length]
            torch.testing.assert_close(batched, alone, rtol=1e-4, atol=1e-5)  # sums of other lengths


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES, provided=Feature.CAUSAL))
def test_causal_features_do_not_depend_on_later_input(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone, signal = _build(name, shape, needed).eval(), _signal(shape)
    changed = signal.clone()
    changed[:, 5:] = changed[:, 5:].flip(0)
    before, after = backbone(signal)[Feature.CAUSAL][0], backbone(changed)[Feature.CAUSAL][0]
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(after[:, 5:], before[:, 5:], rtol=1e-3)


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(state=True))
def test_reading_in_chunks_gives_the_features_of_reading_at_once(
    name: str, shape: dict[str, int], needed: Feature
) -> None:
    backbone, signal, mask = _build(name, shape, needed).eval(), _signal(shape), _mask()
    at_once = backbone(signal, mask)[Feature.CAUSAL][0]
    state, chunks = _empty_state(backbone, len(signal)), []
    for start, end in ((0, 3), (3, 4), (4, 9)):
        features, result = backbone.resume(signal[:, start:end], mask[:, start:end], state)
        state = _join(state, result) if backbone.appends_state else result
        chunks.append(features[Feature.CAUSAL][0])
    torch.testing.assert_close(torch.cat(chunks, dim=1)[mask], at_once[mask], rtol=1e-4, atol=1e-5)


def _empty_state(backbone: Backbone, rows: int) -> BackboneState:
    parts = tuple(torch.zeros(rows, *shape[:-1], 0, shape[-1]) for shape in backbone.widths.state)
    return BackboneState(parts, torch.zeros(rows, 0, dtype=torch.bool))


def _join(first: BackboneState, second: BackboneState) -> BackboneState:
    parts = tuple(torch.cat(pair, dim=-2) for pair in zip(first.parts, second.parts, strict=True))
    return BackboneState(parts, torch.cat([first.mask, second.mask], dim=1))


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(state=True))
def test_rows_with_states_of_several_lengths_resume_in_one_batch(
    name: str, shape: dict[str, int], needed: Feature
) -> None:
    backbone, signal = _build(name, shape, needed).eval(), _signal(shape)
    states, expected = [], []
    for row, length in enumerate(LENGTHS):
        prefix = signal[row : row + 1, :length]
        mask = torch.ones_like(prefix, dtype=torch.bool)
        states.append(backbone.resume(prefix, mask, _empty_state(backbone, 1))[1])
        expected.append(backbone(torch.cat([prefix, signal[row : row + 1, :2]], dim=1))[Feature.POOLED][0])
    longest = max(state.mask.shape[1] for state in states)
    missing = [longest - state.mask.shape[1] for state in states]
    padded = [
        [functional.pad(part, (0, 0, gap, 0)) for part in state.parts]
        for state, gap in zip(states, missing, strict=True)
    ]
    masks = [functional.pad(state.mask, (gap, 0)) for state, gap in zip(states, missing, strict=True)]
    joined = BackboneState(tuple(torch.cat(parts) for parts in zip(*padded, strict=True)), torch.cat(masks))
    features, _ = backbone.resume(signal[:, :2], torch.ones(len(LENGTHS), 2, dtype=torch.bool), joined)
    torch.testing.assert_close(features[Feature.POOLED][0], torch.cat(expected), rtol=1e-4, atol=1e-5)


class _IdentityHead(Head):
    """Returns the features unchanged."""

    name = "identity"
    summary = "for tests"
    needs = frozenset()
    config_type = Config
    outputs = ()

    def __init__(self) -> None:
        super().__init__(Config(), widths={})

    def forward(self, features: Any, batch: Any) -> Any:
        return {str(feature): tensor for tensors in features.values() for feature, (tensor,) in tensors.items()}

    def loss(self, outputs: Any, batch: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, Signal.FRAMES))
def test_its_graph_accepts_any_number_of_rows_of_any_length(
    name: str, shape: dict[str, int], needed: Feature, tmp_path: Path
) -> None:
    network = Network({"read": _build(name, shape, needed)}, head=_IdentityHead())
    signal, mask = _signal(shape), _mask()
    calls = [
        {"read": signal[start:end, :length], "read_mask": mask[start:end, :length]}
        for start, end, length in ((0, 4, 9), (1, 2, 4), (0, 3, 9), (2, 3, 7))
    ]
    exported = export(network, {"model": calls}, tmp_path, variable_axes={"read": (1,), "read_mask": (1,)})
    assert exported.graphs, exported.reason
    assert needed in exported.graphs["model"].outputs


@pytest.mark.parametrize(("name", "shape", "needed"), _cases(Signal.TOKENS, state=True))
def test_its_graph_resumes_from_a_state_with_weights_of_any_size(
    name: str, shape: dict[str, int], needed: Feature, tmp_path: Path
) -> None:
    backbone = _build(name, shape, needed).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.ndim > 1:
                parameter.mul_(30)  # gates of an LSTM then pass -18, where ONNX Runtime's Sigmoid is 0
    network = Network({"read": backbone}, head=_IdentityHead())
    signal, mask = _signal(shape), _mask()
    state, calls = GenerationState("read", backbone.widths.state, rows=4), []
    for start, end in ((0, 4), (4, 5), (5, 7)):
        call = {"read": signal[:, start:end], "read_mask": mask[:, start:end]}
        # Copies, as the state is written in place.
        calls.append({**call, **{name: torch.tensor(array) for name, array in state.inputs().items()}})
        with torch.no_grad():
            outputs = network.infer(calls[-1])
        state.update({name: tensor.numpy() for name, tensor in outputs.items()}, mask[:, start:end].numpy())
    axes = dict.fromkeys(("read", "read_mask", "read_state_mask"), (1,))
    exported = export(network, {"model": calls}, tmp_path, variable_axes=axes)
    assert exported.graphs, exported.reason


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("name", "shape", "needed"), _cases())
def test_features_on_a_gpu_are_those_on_the_cpu(name: str, shape: dict[str, int], needed: Feature) -> None:
    backbone = _build(name, shape, needed).eval()
    expected = backbone(_signal(shape))
    features = backbone.to("cuda")(_signal(shape).to("cuda"))
    for feature, tensors in expected.items():
        for reference, tensor in zip(tensors, features[feature], strict=True):
            torch.testing.assert_close(reference, tensor.cpu(), rtol=1e-3, atol=1e-4)


@every
def test_every_preset_is_a_config_and_the_first_is_the_default(name: str) -> None:
    architecture = ARCHITECTURES[name]
    configs = {preset: architecture.configure({"preset": preset}) for preset in architecture.presets}
    assert architecture.configure({}) == next(iter(configs.values()))
    assert len(set(map(str, configs.values()))) == len(configs)


@every
def test_an_unknown_preset_is_refused_with_a_list_of_all(name: str) -> None:
    with pytest.raises(SpecError, match=next(iter(ARCHITECTURES[name].presets))):
        ARCHITECTURES[name].configure({"preset": "enormous"})


@every
def test_it_has_a_summary_a_source_and_a_recipe(name: str) -> None:
    architecture = ARCHITECTURES[name]
    assert architecture.summary
    assert architecture.source
    recipe = architecture.recipe
    assert recipe.epochs
    assert recipe.optimizer
    assert recipe.learning_rate
