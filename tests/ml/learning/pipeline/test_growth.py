"""A grown network computes what the smaller one does, until it is trained."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file

from ml.config import Choice
from ml.errors import SpecError, TrainingInterrupted
from ml.learning.nn.architectures import ARCHITECTURES
from ml.learning.nn.architectures.gpt import GPTConfig
from ml.learning.nn.network import Network, build
from ml.learning.pipeline.base_models import BaseModels
from ml.learning.pipeline.transfer import transfer_weights
from ml.learning.training.progress import Progress, Stop
from ml.package.checksums import digest
from ml.package.manifest import Manifest
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import run, spec

LABELS = ["a", "b", "c"]
SIGNALS = {
    "image": ({"channels": 1, "height": 9, "width": 8}, torch.rand(6, 1, 9, 8)),
    "text": ({"vocabulary": 20, "length": 7}, torch.randint(20, (6, 7))),
}
SMALL_CNN = {"stages": [[3, 4], [5]]}
TRANSFORMER = {"width": 8, "heads": 2, "layers": 2, "feed_forward": 12}
#: Slot, architecture, base, changes.
GROWTHS = [
    ("image", "cnn", SMALL_CNN, {"stages": [[4, 4], [9]]}),
    ("image", "cnn", {**SMALL_CNN, "pooling": "flatten", "hidden": 6}, {"stages": [[3, 7], [8]], "hidden": 10}),
    ("image", "cnn", {**SMALL_CNN, "normalize": False}, {"stages": [[6, 6], [6]]}),
    ("image", "resnet", {"stages": [[4, 1], [6, 1]]}, {"stages": [[4, 2], [6, 3]]}),
    ("image", "resnet", {"stages": [[4, 1], [6, 1]]}, {"stages": [[5, 1], [9, 2]]}),
    ("text", "transformer", TRANSFORMER, {"layers": 4}),
    ("text", "transformer", TRANSFORMER, {"layers": 3, "feed_forward": 20}),
    ("text", "transformer", {**TRANSFORMER, "norm": "after"}, {"feed_forward": 20}),
    ("text", "transformer", {**TRANSFORMER, "causal": True}, {"layers": 3}),
    *(
        ("text", "gpt", {"family": family, "width": 8, "layers": 1, "heads": 2}, {"layers": 2})
        for family in get_args(GPTConfig.model_fields["family"].annotation)
    ),
]


def make_network(slot: str, name: str, config: dict[str, Any], *, seed: int, head: Choice) -> Network:
    """Build a network whose weights and running statistics are all random."""
    torch.manual_seed(seed)
    network = build({slot: Choice(name=name, config=config)}, shapes={slot: SIGNALS[slot][0]}, head=head)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.4 + 0.1)
    return network.eval()


def make_bases(folder: Path, network: Network, slot: str, choice: Choice, head: Choice) -> BaseModels:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
    manifest = Manifest.model_validate(
        {
            "architectures": {slot: choice.model_dump()},
            "head": head.model_dump(),
            "labels": LABELS,
            "parameters": 1,
            "files": [
                {"path": WEIGHTS, "bytes": (folder / WEIGHTS).stat().st_size, "sha256": digest(folder / WEIGHTS)}
            ],
        }
    )
    return BaseModels({None: ModelPackage(folder, manifest)})


@pytest.mark.parametrize(("slot", "name", "config", "changes"), GROWTHS)
@pytest.mark.parametrize("hidden", ["none", "relu"])
def test_a_grown_network_has_the_outputs_of_the_smaller_one(
    tmp_path: Path, slot: str, name: str, config: dict[str, Any], changes: dict[str, Any], hidden: str
) -> None:
    head = Choice(name="classifier", config={"classes": len(LABELS), "hidden": hidden})
    small = make_network(slot, name, config, seed=1, head=head)
    large = make_network(slot, name, {**config, **changes}, seed=2, head=head)
    bases = make_bases(tmp_path, small, slot, Choice(name=name, config=config), head)
    batch = {slot: SIGNALS[slot][1]}
    with torch.no_grad():
        expected = small(batch)["logits"]
        assert (large(batch)["logits"] - expected).abs().max() > 1e-2
        transfer = transfer_weights(large, bases, labels=LABELS, grown={slot})
        logits = large(batch)["logits"]
    # Sums of more terms, some of them zero, are rounded differently in float32.
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert transfer["dropped"] == []
    assert transfer["labels"] == {"loaded": LABELS, "new": [], "dropped": []}
    assert sum(tensor.numel() for tensor in large.parameters()) > sum(tensor.numel() for tensor in small.parameters())


def test_a_detector_on_a_wider_backbone_has_the_outputs_of_the_narrow_one(tmp_path: Path) -> None:
    slot, name, config, changes = GROWTHS[0]
    head = Choice(name="boxes", config={"classes": len(LABELS), "width": 4, "stride": 1})
    small = make_network(slot, name, config, seed=1, head=head)
    large = make_network(slot, name, {**config, **changes}, seed=2, head=head)
    bases = make_bases(tmp_path, small, slot, Choice(name=name, config=config), head)
    batch = {slot: SIGNALS[slot][1]}
    with torch.no_grad():
        expected = small(batch)
        transfer_weights(large, bases, labels=LABELS, grown={slot})
        outputs = large(batch)
    for key, values in expected.items():
        torch.testing.assert_close(outputs[key], values, rtol=1e-5, atol=1e-5)


def test_new_units_learn(tmp_path: Path) -> None:
    """Neither the zeros nor the new units are stuck after a step or two."""
    slot, name, config, changes = next(growth for growth in GROWTHS if len(growth[3]) == 2 and growth[0] == "text")
    head = Choice(name="classifier", config={"classes": len(LABELS)})
    small = make_network(slot, name, config, seed=1, head=head)
    large = make_network(slot, name, {**config, **changes}, seed=2, head=head)
    transfer_weights(
        large, make_bases(tmp_path, small, slot, Choice(name=name, config=config), head), labels=LABELS, grown={slot}
    )
    before = {key: tensor.clone() for key, tensor in large.named_parameters()}
    optimizer = torch.optim.SGD(large.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        large.compute_losses({slot: SIGNALS[slot][1], "label": torch.arange(6) % 3})["loss"].backward()
        optimizer.step()
    prefix = f"backbones.{slot}.layers"
    for key in (f"{prefix}.2.attention.output.weight", f"{prefix}.2.feed_forward.0.weight"):
        assert not torch.equal(before[key], dict(large.named_parameters())[key]), key
    widened = dict(large.named_parameters())[f"{prefix}.0.feed_forward.3.weight"]
    assert widened[:, 12:].abs().max() > 0


def test_every_growable_option_exists() -> None:
    for architecture in ARCHITECTURES.values():
        fields = architecture.config_type.model_fields
        for option, needs in architecture.growable.items():
            assert {option, *needs} <= fields.keys(), architecture.name


def test_a_run_grows_its_base_and_resumes_bit_for_bit(digits: Path, tmp_path: Path) -> None:
    small = {"name": "cnn", "config": {"stages": [[4], [8]]}}
    classify = {"task": "image_classification"}
    base = run(digits, tmp_path / "base", spec("finetune", **classify, architecture=small)).package
    schedule = {"epochs": 2, "batch_size": 512, "precision": "float32", "checkpoint_every_seconds": 0.001}
    larger = {"name": "cnn", "config": {"stages": [[6], [12]]}}
    request = spec("finetune", **classify, architecture=larger, start_from="base", schedule=schedule)
    whole = run(digits, tmp_path / "whole", request, start_from=base.directory)
    assert whole.package.manifest.architectures["image"].config["stages"] == [[6], [12]]
    assert whole.report["transfer"] is not None
    assert (whole.report["transfer"]["new"], whole.report["transfer"]["dropped"]) == ([], [])
    reports: list[Progress] = []

    def leave() -> Stop | None:
        return Stop.LEAVE if reports and reports[-1].phase == "training" else None

    with pytest.raises(TrainingInterrupted):
        run(digits, tmp_path / "cut", request, start_from=base.directory, reports=reports, should_stop=leave)
    again = run(digits, tmp_path / "cut", request, start_from=base.directory)
    assert digest(again.package.file(WEIGHTS)) == digest(whole.package.file(WEIGHTS))

    with pytest.raises(SpecError, match="stages must be larger than"):
        smaller = {"name": "cnn", "config": {"stages": [[6], [4]]}}
        refused = spec("finetune", **classify, architecture=smaller, start_from="base")
        run(digits, tmp_path / "refused", refused, start_from=base.directory)
