"""A pruned model is a smaller network with the most important units."""

from pathlib import Path

import pytest
import torch

from ml.data.dataset import Dataset
from ml.errors import SpecError
from ml.learning.export.torch_runner import load_network
from ml.learning.pipeline.pruning import PrunedNetwork, adopt, compare_pruned, prune, summarize, write_pruned
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.pruning import Prune, check_pruning
from tests.support.ml.digits import SHORT, run, spec

CNN = {"name": "cnn", "config": {"stages": [[8, 8], [8]]}}
LONGER = {**SHORT, "epochs": 6, "batch_size": 64, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def original(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    request = spec("finetune", task="image_classification", architecture=CNN, schedule=LONGER)
    return run(digits, tmp_path_factory.mktemp("original"), request).package


@pytest.fixture(scope="module")
def pruned(digits: Path, original: ModelPackage) -> PrunedNetwork:
    return prune(original, Dataset.open(digits).rows("train"), operations=0.4)


def test_the_network_is_as_large_as_the_limit_allows(pruned: PrunedNetwork) -> None:
    # A channel less is a tenth of the operations of so small a network.
    assert 0.25 * pruned.operations_before < pruned.operations <= 0.4 * pruned.operations_before
    (first, second) = pruned.units
    assert (first["option"], first["before"]) == ("image.stages.0.0", 8)
    assert second["after"] == pruned.architectures["image"].config["stages"][0][1] < 8


def test_the_most_important_channels_are_kept(digits: Path, original: ModelPackage) -> None:
    network = load_network(original)
    weight = network.state_dict()["backbones.image.stages.0.0.weight"]
    rows = Dataset.open(digits).rows("train")
    smaller = prune(original, rows, operations=0.4).network.state_dict()["backbones.image.stages.0.0.weight"]
    positions = [int((weight == channel).flatten(1).all(dim=1).nonzero()) for channel in smaller]
    accuracy = _accuracy(load_network(original), original, digits)

    losses = []
    for channels in (positions, sorted(set(range(8)) - set(positions))):
        silenced = load_network(original)
        tensors = silenced.state_dict()
        for channel in set(range(8)) - set(channels):
            tensors["backbones.image.stages.0.3.weight"][:, channel] = 0
        losses.append(_accuracy(silenced, original, digits))

    assert accuracy > 0.8
    assert losses[0] > losses[1], "the kept channels alone are worth more than the others"


def _accuracy(network: torch.nn.Module, package: ModelPackage, digits: Path) -> float:
    task = package.task()
    assert task is not None
    columns = task.encode(Dataset.open(digits).rows("test"))
    batch = {name: torch.from_numpy(array) for name, array in task.collate(columns).items()}
    with torch.no_grad():
        return float((network(batch)["logits"].argmax(dim=1) == batch["label"]).float().mean())


def test_training_continues_from_the_smaller_network(
    digits: Path, original: ModelPackage, pruned: PrunedNetwork, tmp_path: Path
) -> None:
    request = Prune.model_validate(
        {"kind": "prune", "model": "digits@1", "dataset": "digits", "operations": 0.4, "schedule": LONGER}
    )
    smaller = write_pruned(original, pruned, tmp_path / "pruned")
    result = run(digits, tmp_path / "run", request.retraining(original.manifest), start_from=smaller.directory)
    adopt(result.package, original, request.model_dump(mode="json"))
    section = compare_pruned(original, result.package, pruned, digits, result.report)

    assert result.package.manifest.architectures == pruned.architectures
    assert result.package.manifest.graphs
    reopened = ModelPackage.open(result.package.directory)
    assert reopened.manifest.source.parent == digest(original.directory / MANIFEST)
    assert section["parameters"]["after"] < section["parameters"]["before"]
    assert section["metrics"]["accuracy"]["after"] > 0.5
    assert "before_interval" in section["metrics"]["accuracy"]
    assert all(times["after"] > 0 for times in section["latency_ms"].values())
    assert summarize(section)[0].startswith(f"{pruned.operations:,} of {pruned.operations_before:,} operations remain")


def test_a_limit_that_cannot_be_reached_names_the_smallest(digits: Path, original: ModelPackage) -> None:
    with pytest.raises(SpecError, match=r"cannot be reached: 0\.0") as error:
        prune(original, Dataset.open(digits).rows("train"), operations=0.02)
    assert "Set operations to" in str(error.value.hint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "is a base model"),
        ({"architectures": {}}, "is an ONNX graph without weights"),
        ({"architectures": {"image": {"name": "vae", "config": {}}}}, "vae cannot be pruned: all of its widths"),
    ],
)
def test_a_model_that_cannot_be_pruned_says_why(
    original: ModelPackage, changes: dict[str, object], message: str
) -> None:
    request = Prune(kind="prune", model="digits@1", dataset="digits")
    manifest = original.manifest.model_validate({**original.manifest.model_dump(), **changes})
    (finding,) = check_pruning(request, Catalog.load(), manifest, None)

    assert message in finding.message
    assert finding.path == "model"
