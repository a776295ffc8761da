"""Properties of each tuning with each architecture that it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ml.config import Choice
from ml.learning.export.torch_runner import load_network
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.network import Network, build
from ml.learning.training.optimizers import parameter_groups
from ml.learning.training.tuning import TUNINGS
from ml.package.package import ADAPTER, WEIGHTS, ModelPackage
from ml.signals import Signal
from ml.spec.catalog import Catalog
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

SHAPES: dict[Signal, dict[str, int]] = {
    Signal.IMAGE: {"channels": 1, "height": 8, "width": 8},
    Signal.TOKENS: {"vocabulary": 11, "length": 12},
    Signal.FRAMES: {"bins": 5},
    Signal.RECORD: {"numbers": 3, "quantile_bins": 4, "categorical": 0, "categories": 0},
}
HEAD = Choice(name="classifier", config={"classes": 3})
UNFIT = {name: entry.unfit for name, entry in Catalog.load().tunings.items()}

fitting = pytest.mark.parametrize(
    ("name", "architecture"),
    [(name, architecture) for name in TUNINGS for architecture in ARCHITECTURES if architecture not in UNFIT[name]],
)


def _choice(architecture: str) -> Choice:
    return Choice(name=architecture, config=ARCHITECTURES[architecture].tiny().model_dump(mode="json"))


def _network(choice: Choice) -> Network:
    torch.manual_seed(0)
    return build({"it": choice}, shapes={"it": _shape(choice.name)}, head=HEAD)


def _shape(architecture: str) -> dict[str, int]:
    return SHAPES[sorted(ARCHITECTURES[architecture].accepts)[-1]]


def _batch(architecture: str) -> dict[str, Tensor]:
    generator, shape, rows = torch.manual_seed(1), _shape(architecture), 12
    label = torch.arange(rows) % 3
    if "channels" in shape:
        return {"it": torch.rand(rows, 1, 8, 8, generator=generator), "label": label}
    if "numbers" in shape:
        return {"it": torch.rand(rows, 3 * shape["numbers"], generator=generator), "label": label}
    mask = torch.arange(9) < torch.randint(1, 10, (rows, 1), generator=generator)
    tokens = torch.randint(11, (rows, 9), generator=generator)
    signal = tokens if "vocabulary" in shape else torch.rand(rows, 9, shape["bins"], generator=generator)
    return {"it": signal, "it_mask": mask, "label": label}


def _tune(name: str, architecture: str = "cnn") -> tuple[Any, Network]:
    kind, network = TUNINGS[name], _network(_choice(architecture))
    tuning = kind(kind.config_type())
    tuning.apply(network)
    return tuning, network


def _train(network: Network, architecture: str = "cnn", steps: int = 4) -> None:
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trainable, 0.01)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        network.compute_losses(_batch(architecture))["loss"].backward()
        optimizer.step()


@fitting
def test_frozen_weights_stay_and_others_change(name: str, architecture: str) -> None:
    _, network = _tune(name, architecture)
    frozen = {key for key, weight in network.named_parameters() if not weight.requires_grad}
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    _train(network, architecture)
    changed = {key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed
    assert not changed & frozen
    if frozen:
        assert not {key for key in changed if "running_" in key}


@fitting
def test_before_training_a_tuned_network_has_the_outputs_of_its_base(name: str, architecture: str) -> None:
    base = _network(_choice(architecture)).eval()
    _, network = _tune(name, architecture)
    network.eval()
    expected, logits = (model(_batch(architecture))["logits"] for model in (base, network))
    # A prompt changes outputs at once. Wider sums add zeros, in another order.
    assert name == "prompt" or torch.allclose(logits, expected, atol=1e-5)


@fitting
def test_merging_keeps_the_outputs_and_a_plain_network_loads_the_weights(name: str, architecture: str) -> None:
    tuning, network = _tune(name, architecture)
    _train(network, architecture)
    network.eval()
    before = network(_batch(architecture))["logits"]
    tuning.merge(network)
    # The kernel of a recurrent layer, and thus its last bits, depends on which of its weights need gradients.
    tolerance = 1e-6 if architecture == "rnn" else 0
    torch.testing.assert_close(network(_batch(architecture))["logits"], before, rtol=tolerance, atol=tolerance)
    assert all(weight.requires_grad for weight in network.parameters())
    plain = _network(tuning.merge_choice(_choice(architecture))).eval()
    plain.load_state_dict(network.state_dict())
    # Kernels may have another memory layout, and then sum in another order.
    torch.testing.assert_close(plain(_batch(architecture))["logits"], before, rtol=1e-5, atol=1e-6)
    assert {name: type(module) for name, module in plain.named_modules()} == {
        name: type(module) for name, module in network.named_modules()
    }


@fitting
def test_options_are_of_trainable_weights_and_every_weight_is_in_a_group(name: str, architecture: str) -> None:
    tuning, network = _tune(name, architecture)
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    group_options = tuning.parameter_groups(network)
    assert group_options.keys() <= set(trainable)
    assert sum(len(group["params"]) for group in parameter_groups(trainable, group_options, steps=100)) == len(
        trainable
    )
    assert all(0 < options.rate_factor <= 1 and 0 <= options.unfreeze_at <= 1 for options in group_options.values())


def test_an_architecture_that_does_not_fit_has_a_reason() -> None:
    with torch.device("meta"):
        for name, reasons in UNFIT.items():
            for architecture, kind in ARCHITECTURES.items():
                reason = TUNINGS[name].missing_requirement(kind(kind.tiny(), shape=kind.usual_shape))
                assert reasons.get(architecture) == reason
                assert reason is None or not reason.endswith(".")


def test_a_tuned_network_can_be_tuned_again() -> None:
    choice = _choice("bert")
    network = _network(choice)
    for name in ("adapters", "prompt", "lora", "adapters", "prompt"):
        tuning = TUNINGS[name](TUNINGS[name].config_type())
        tuning.apply(network)
        _train(network, "bert", steps=1)
        tuning.merge(network)
        choice = tuning.merge_choice(choice)
    plain = _network(choice).eval()
    plain.load_state_dict(network.state_dict())
    assert torch.equal(plain(_batch("bert"))["logits"], network.eval()(_batch("bert"))["logits"])


def test_adapters_widen_the_width_of_a_published_configuration() -> None:
    config = {**_choice("bert").config, "options": {"intermediate_size": 20}}
    tuning = TUNINGS["adapters"](TUNINGS["adapters"].config_type(bottleneck=3))
    assert tuning.merge_choice(Choice(name="bert", config=config)).config["options"] == {"intermediate_size": 23}


def test_layers_are_unfrozen_from_last_to_first_and_lower_ones_learn_more_slowly() -> None:
    tuning, network = _tune("gradual_unfreezing", "bert")
    group_options = tuning.parameter_groups(network)
    model: Any = network.backbones["it"].model
    table, first, second = model.embeddings.word_embeddings, *(layer.output.dense for layer in model.encoder.layer)
    rates = [group_options[layer.weight].rate_factor for layer in (second, first, table)]
    assert rates == pytest.approx([1 / 2.6, 1 / 2.6**2, 1 / 2.6**3])
    assert [round(group_options[layer.weight].unfreeze_at, 3) for layer in (second, first, table)] == [
        0.167,
        0.333,
        0.5,
    ]
    assert group_options[model.pooler.dense.weight] == group_options[second.weight]


def test_a_merged_backbone_trains_again() -> None:
    for name in ("head_only", "lora"):
        tuning, network = _tune(name)
        tuning.merge(network)
        norm: Any = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        before = norm.running_mean.clone()
        _train(network)
        assert not torch.equal(norm.running_mean, before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    tiny = ARCHITECTURES["bert"].tiny().model_dump(mode="json")
    pretraining = spec("pretrain", objective="masked_language_modeling", architecture={"name": "bert", "config": tiny})
    return run(samples.path({"text": "text"}), tmp_path_factory.mktemp("base"), pretraining).package


@pytest.mark.parametrize("name", [name for name in TUNINGS if "bert" not in UNFIT[name]])
def test_the_package_of_a_tuned_base_needs_no_tuning_and_can_be_tuned_again(
    name: str, base: ModelPackage, tmp_path: Path
) -> None:
    data = samples.path({"text": "text", "label": "label"})
    finetuning = spec("finetune", task="text_classification", start_from="base", tuning=name)
    result = run(data, tmp_path / "tuned", finetuning, start_from=base.directory)
    package = ModelPackage.open(result.package.directory)
    assert set(package.manifest.graphs) == {"model"}, package.manifest.no_graph_reason
    weights = load_file(package.file(WEIGHTS))
    assert load_network(package).state_dict().keys() == weights.keys()
    report = result.report
    assert report is not None
    trained_parameters = report["training"]["trained_parameters"]
    if trained_parameters == package.manifest.parameters:
        assert not (package.directory / ADAPTER).exists()
    else:
        adapter = load_file(package.file(ADAPTER))
        assert sum(tensor.numel() for tensor in adapter.values()) == trained_parameters
        assert torch.equal(adapter["head.linear.weight"], weights["head.linear.weight"])
        table = load_file(base.file(WEIGHTS))["backbones.text.model.embeddings.word_embeddings.weight"]
        assert torch.equal(weights["backbones.text.model.embeddings.word_embeddings.weight"], table)
    again = spec("finetune", task="text_classification", start_from="tuned", tuning=name)
    assert run(data, tmp_path / "again", again, start_from=package.directory).package.manifest.graphs
