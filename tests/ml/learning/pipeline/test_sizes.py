"""One training makes a family of sizes, each in the first units of each layer."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ml.config import Choice
from ml.errors import SpecError
from ml.inference.predictor import Predictor
from ml.learning.export.torch_runner import load_network
from ml.learning.nn.network import Network, build
from ml.learning.nn.objectives.supervised import Supervised, SupervisedConfig
from ml.learning.nn.units import separate_units
from ml.learning.pipeline.sizes import make_slices
from ml.learning.pipeline.train import TrainingResult
from ml.learning.training.nested import NestedObjective
from ml.package.package import ModelPackage
from tests.support.ml.digits import SHORT, run, spec

CNN = {"name": "cnn", "config": {"stages": [[8, 8], [8]]}}
HEAD = Choice(name="classifier", config={"classes": 3})
CASES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("cnn", {"stages": [[8, 8], [6]]}, {"channels": 1, "height": 9, "width": 8}),
    ("resnet", {"stages": [[8, 2], [6, 1]]}, {"channels": 1, "height": 9, "width": 8}),
    ("bert", {"width": 8, "heads": 2, "layers": 2}, {"vocabulary": 20, "length": 7}),
    ("gpt", {"family": "llama", "width": 8, "heads": 2, "layers": 2}, {"vocabulary": 20, "length": 7}),
    ("transformer", {"width": 8, "heads": 4, "layers": 2, "feed_forward": 16}, {"vocabulary": 20, "length": 7}),
    ("rnn", {"width": 8}, {"vocabulary": 20, "length": 7}),
    ("rnn", {"width": 8, "cell": "gru", "layers": 2}, {"vocabulary": 20, "length": 7}),
]


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    schedule = {**SHORT, "epochs": 6, "batch_size": 64, "learning_rate": 0.01}
    request = spec("finetune", task="image_classification", architecture=CNN, schedule=schedule, sizes=[1, 0.5, 0.25])
    return run(digits, tmp_path_factory.mktemp("nested"), request)


def make_batch(shape: dict[str, int]) -> dict[str, torch.Tensor]:
    signal = torch.rand(6, *shape.values()) if "height" in shape else torch.randint(20, (6, 7))
    return {"input": signal, "label": torch.tensor([0, 1, 2, 0, 1, 2])}


def make_nested(name: str, config: dict[str, Any], shape: dict[str, int]) -> NestedObjective:
    torch.manual_seed(0)
    architectures = {"input": separate_units(Choice(name=name, config=config))}
    network = build(architectures, shapes={"input": shape}, head=HEAD)
    slices = make_slices([1, 0.5, 0.25], architectures, shapes={"input": shape}, head=HEAD)
    return NestedObjective(Supervised(SupervisedConfig(), network), slices)


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_a_cut_out_size_equals_the_one_inside_bit_for_bit(
    name: str, config: dict[str, Any], shape: dict[str, int]
) -> None:
    objective = make_nested(name, config, shape)
    optimizer = torch.optim.SGD(objective.objective.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        objective(make_batch(shape))["loss"].backward()
        optimizer.step()
    objective.eval()
    batch, whole = make_batch(shape), objective.objective.network
    with torch.no_grad():
        scores = objective(batch)
        for part in objective.typed_slices:
            inside = part(dict(whole.named_parameters()), batch)["loss"]
            part.copy_weights(whole)
            cut_out = build(part.architectures, shapes={"input": shape}, head=HEAD).eval()
            cut_out.load_state_dict(part.network.state_dict())
            assert torch.equal(cut_out.compute_losses(batch)["loss"], inside)
            assert f"accuracy_at_{part.size:g}" in scores


def test_sizes_share_weights_but_not_statistics() -> None:
    objective = make_nested(*CASES[0])
    trained = {name for name, weight in objective.named_parameters() if weight.requires_grad}

    objective(make_batch(CASES[0][2]))["loss"].backward()

    assert all(name.startswith("objective.network.") for name in trained)
    (half, _) = objective.typed_slices
    assert all(weight.grad is None for weight in half.network.parameters())
    whole = objective.objective.network.get_buffer("backbones.input.stages.0.4.running_mean")
    assert not torch.equal(half.network.get_buffer("backbones.input.stages.0.4.running_mean"), whole[:4])


def test_each_size_is_a_package_that_is_judged_and_measured(trained: TrainingResult) -> None:
    package = ModelPackage.open(trained.package.directory)
    sizes = package.manifest.sizes

    assert [size.size for size in sizes] == [1, 0.5, 0.25]
    assert [size.path for size in sizes] == [None, "sizes/0.5", "sizes/0.25"]
    assert sizes[0].operations > sizes[1].operations > sizes[2].operations
    assert sizes[0].parameters == package.manifest.parameters > sizes[1].parameters
    assert not any(path.startswith("sizes/") for path in package.served_paths)
    for size in sizes[1:]:
        part = ModelPackage.open(package.directory / str(size.path))
        assert part.manifest.parameters == size.parameters
        assert part.manifest.graphs
        assert Predictor.load(part).predict([{"pixels": [[0] * 8] * 8}])[0]["label"] in part.manifest.labels or ()
    section = trained.report["sizes"]
    assert [entry["metrics"]["accuracy"] for entry in section] == [size.metrics["test/accuracy"] for size in sizes]
    assert section[0]["metrics"]["accuracy"] == trained.report["metrics"]["accuracy"] > 0.7
    assert section[2]["metrics"]["accuracy"] > 0.3, "a quarter of the channels has learned, too"
    assert "accuracy_at_0.5" in {name.partition("/")[2] for name in trained.metrics}


def test_the_network_of_a_size_has_the_first_channels(trained: TrainingResult) -> None:
    package = trained.package
    whole = load_network(package).state_dict()
    half: Network = load_network(ModelPackage.open(package.directory / "sizes/0.5"))
    weight = half.state_dict()["backbones.image.stages.0.3.weight"]

    assert torch.equal(weight, whole["backbones.image.stages.0.3.weight"][:4, :4])


@pytest.mark.parametrize(
    ("changes", "message", "path"),
    [
        ({"sizes": [0.5, 0.25]}, "of which one is 1", "sizes"),
        ({"sizes": [1, 0.5, 0.5]}, "different fractions", "sizes"),
        ({"architecture": "inception_v3"}, "has only one size", "sizes"),
        ({"adversary": "fgsm"}, "with adversary null alone", "adversary"),
        ({"tuning": "bias"}, "with tuning full alone", "tuning"),
    ],
)
def test_sizes_that_do_not_fit_say_why(
    digits: Path, tmp_path: Path, changes: dict[str, Any], message: str, path: str
) -> None:
    fields = {"task": "image_classification", "architecture": CNN, "sizes": [1, 0.5], **changes}
    with pytest.raises(SpecError, match=message) as error:
        run(digits, tmp_path, spec("finetune", **fields))
    assert path in {finding.path for finding in error.value.findings}


def test_a_network_whose_widths_are_all_features_has_one_size(digits: Path, tmp_path: Path) -> None:
    fields = {"task": "image_classification", "architecture": {"name": "cnn", "config": {"stages": [[4]]}}}
    with pytest.raises(SpecError, match="has only one size"):
        run(digits, tmp_path, spec("finetune", **fields, sizes=[1, 0.5]))
