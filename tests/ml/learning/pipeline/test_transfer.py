"""Weights for labels come from the base model by name, not by position."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ml.config import Choice
from ml.errors import TrainingInterrupted
from ml.learning.nn.network import Network, build
from ml.learning.pipeline.base_models import BaseModels
from ml.learning.pipeline.transfer import describe_labels, transfer_weights
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import run, spec

BASE, DATA = ["cat", "dog", "owl"], ["ant", "owl", "cat", "bee"]
SHAPE = {"image": {"channels": 1, "height": 8, "width": 8}}
#: Head -> backbone, tensors with a slice for each label and their dimension, other tensors of the head.
LAYOUTS: dict[str, tuple[str, dict[str, int], str | None]] = {
    "classifier": ("cnn", {"head.linear.weight": 0, "head.linear.bias": 0}, "head.hidden.weight"),
    "boxes": ("cnn", {"head.middles.1.weight": 0, "head.middles.1.bias": 0}, "head.sides.1.weight"),
    "image_decoder": (
        "vae",
        {
            "head.from_class.weight": 1,
            "backbones.image.condition.weight": 1,
            "backbones.image.condition_early.weight": 1,
        },
        "head.from_code.weight",
    ),
}


@pytest.fixture(scope="module")
def digit_model(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A classifier of two steps."""
    request = spec("finetune", task="image_classification", architecture="cnn")
    return run(digits, tmp_path_factory.mktemp("digit_model"), request).package


def make_network(head: str, labels: Sequence[str], *, seed: int) -> Network:
    torch.manual_seed(seed)
    config = {"classes": len(labels), **({"hidden": "relu"} if head == "classifier" else {})}
    choice = Choice(name=head, config=config) if head != "regression" else Choice(name=head, config={})
    return build({"image": Choice(name=LAYOUTS.get(head, ("cnn",))[0], config={})}, shapes=SHAPE, head=choice)


def make_base(
    package: ModelPackage, folder: Path, head: str, labels: Sequence[str], *, slot: str | None = None
) -> tuple[BaseModels, dict[str, torch.Tensor]]:
    """Write a package with another head and other labels."""
    folder.mkdir()
    weights = {name: tensor.contiguous() for name, tensor in make_network(head, labels, seed=1).state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    update = {"labels": list(labels), "head": Choice(name=head, config={})}
    return BaseModels({slot: ModelPackage(folder, package.manifest.model_copy(update=update))}), weights


@pytest.mark.parametrize("head", LAYOUTS)
def test_labels_that_both_have_keep_their_weights(digit_model: ModelPackage, tmp_path: Path, head: str) -> None:
    bases, theirs = make_base(digit_model, tmp_path / "base", head, BASE)
    network = make_network(head, DATA, seed=2)
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    transfer = transfer_weights(network, bases, labels=DATA)
    ours = network.state_dict()
    _, by_label, shared = LAYOUTS[head]
    assert transfer["labels"] == {"loaded": ["owl", "cat"], "new": ["ant", "bee"], "dropped": ["dog"]}
    for name, dimension in by_label.items():
        for position, label in enumerate(DATA):
            source, index = (theirs, BASE.index(label)) if label in BASE else (fresh, position)
            assert torch.equal(ours[name].select(dimension, position), source[name].select(dimension, index)), name
    assert shared is not None
    assert torch.equal(ours[shared], theirs[shared])
    assert (transfer["new"], transfer["dropped"]) == ([], [])
    assert describe_labels(transfer["labels"]) == (
        "2 labels have the weights of the base model; 2 are new: ant, bee; 1 of the base model are not in the data: dog"
    )


def test_logits_of_shared_labels_are_those_of_the_base_model(digit_model: ModelPackage, tmp_path: Path) -> None:
    bases, _ = make_base(digit_model, tmp_path / "base", "classifier", BASE)
    base, network = make_network("classifier", BASE, seed=1), make_network("classifier", DATA, seed=2)
    transfer_weights(network, bases, labels=DATA)
    batch = {"image": torch.rand(5, 1, 8, 8)}
    with torch.no_grad():
        theirs, ours = (model.eval()(batch)["logits"] for model in (base, network))
    for label in ("cat", "owl"):
        # Matrices of other sizes are multiplied in another order: the last bits of float32.
        torch.testing.assert_close(ours[:, DATA.index(label)], theirs[:, BASE.index(label)], rtol=0, atol=1e-6)


def test_labels_in_another_order_are_all_loaded(digit_model: ModelPackage, tmp_path: Path) -> None:
    bases, theirs = make_base(digit_model, tmp_path / "base", "classifier", BASE)
    network = make_network("classifier", BASE[::-1], seed=2)
    transfer = transfer_weights(network, bases, labels=BASE[::-1])
    assert transfer["labels"] == {"loaded": BASE[::-1], "new": [], "dropped": []}
    assert torch.equal(network.state_dict()["head.linear.weight"], theirs["head.linear.weight"].flip(0))
    assert describe_labels(transfer["labels"]) is None


@pytest.mark.parametrize("labels", [["ant", "bee", "fly"], ["ant", "bee"]])
def test_without_a_shared_label_the_last_layer_is_new(
    digit_model: ModelPackage, tmp_path: Path, labels: list[str]
) -> None:
    bases, _ = make_base(digit_model, tmp_path / "base", "classifier", BASE)
    transfer = transfer_weights(make_network("classifier", labels, seed=2), bases, labels=labels)
    assert transfer["labels"] == {"loaded": [], "new": labels, "dropped": BASE}
    assert transfer["new"] == transfer["dropped"] == ["head.linear.bias", "head.linear.weight"]


def test_another_head_takes_nothing_from_a_classifier(digit_model: ModelPackage, tmp_path: Path) -> None:
    bases, _ = make_base(digit_model, tmp_path / "base", "classifier", BASE)
    network = make_network("regression", [], seed=2)
    transfer = transfer_weights(network, bases, labels=[])
    assert transfer["labels"] is None
    assert not [name for name in transfer["loaded"] if name.startswith("head.")]


def test_a_base_of_one_slot_gives_its_condition_by_label(digit_model: ModelPackage, tmp_path: Path) -> None:
    bases, theirs = make_base(digit_model, tmp_path / "base", "image_decoder", BASE, slot="image")
    network = make_network("image_decoder", BASE[::-1], seed=2)
    transfer = transfer_weights(network, bases, labels=BASE[::-1])
    condition = "backbones.image.condition.weight"
    assert torch.equal(network.state_dict()[condition], theirs[condition].flip(1))
    assert {name for name in transfer["dropped"] if name.startswith("head.")} == {
        name for name in theirs if name.startswith("head.")
    }


def test_a_model_of_other_digits_learns_new_ones_and_resumes_bit_for_bit(
    digits: Path, tmp_path: Path, digit_model: ModelPackage
) -> None:
    """The run is cut after its first step of six."""
    base = shutil.copytree(digit_model.directory, tmp_path / "base")
    renamed = digit_model.manifest.model_copy(update={"labels": ["3", "2", *"QRSTUVWX"]})
    (base / MANIFEST).write_text(renamed.model_dump_json())
    request = spec(
        "finetune",
        task="image_classification",
        start_from="base",
        schedule={"epochs": 2, "batch_size": 512, "precision": "float32", "checkpoint_every_seconds": 0.001},
    )
    reports: list[Progress] = []
    whole = run(digits, tmp_path / "whole", request, start_from=base, reports=reports)
    assert whole.report["transfer"] is not None
    section = whole.report["transfer"]["labels"]
    assert section == {"loaded": ["2", "3"], "new": [*"01456789"], "dropped": [*"QRSTUVWX"]}
    assert describe_labels(section) in [progress.message for progress in reports]
    cut: list[Progress] = []

    def leave() -> Stop | None:
        return Stop.LEAVE if cut and cut[-1].phase == "training" else None

    with pytest.raises(TrainingInterrupted):
        run(digits, tmp_path / "cut", request, start_from=base, reports=cut, should_stop=leave)
    again = run(digits, tmp_path / "cut", request, start_from=base)
    assert digest(again.package.file(WEIGHTS)) == digest(whole.package.file(WEIGHTS))
    assert again.report["transfer"] == whole.report["transfer"]
