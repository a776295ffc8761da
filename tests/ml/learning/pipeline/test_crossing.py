"""The body of a base model of another signal crosses to a new network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ml.learning.nn.architectures.transformer import Transformer
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

OPTIONS = {**Transformer.tiny().model_dump(mode="json")}


@pytest.fixture(scope="module")
def text_base(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A transformer that has read texts for two steps."""
    request = spec(
        "pretrain", objective="masked_language_modeling", architecture={"name": "transformer", "config": OPTIONS}
    )
    return run(samples.path({"text": "text"}), tmp_path_factory.mktemp("base"), request).package


def fine_tune(base: ModelPackage, digits: Path, folder: Path, tuning: str, **fields: Any) -> Any:
    request = spec("finetune", task="image_classification", start_from={"image": "base"}, tuning=tuning, **fields)
    return run(digits, folder, request, start_from={"image": base.directory})


def to_base(name: str) -> str:
    return name.replace("backbones.image.", "backbones.text.")


def test_the_report_says_what_crossed_and_frozen_weights_are_those_of_the_base(
    text_base: ModelPackage, digits: Path, tmp_path: Path
) -> None:
    result = fine_tune(text_base, digits, tmp_path, "norms_only")
    crossed = result.report["transfer"]["crossed"]["image"]
    base, weights = load_file(text_base.file(WEIGHTS)), load_file(result.package.file(WEIGHTS))
    body = {name for name in weights if name.startswith(tuple(f"backbones.image.{part}" for part in Transformer.body))}
    assert (crossed["source_slot"], crossed["source_signal"], crossed["signal"]) == ("text", "tokens", "image")
    assert set(crossed["loaded"]) == body
    assert set(crossed["new"]) == {name for name in weights if name.startswith("backbones.image.")} - body
    assert set(crossed["dropped"]) == base.keys() - {to_base(name) for name in body}
    changed = {name for name in body if not torch.equal(weights[name], base[to_base(name)])}
    assert changed == {name for name in body if ".norm" in name}
    assert set(result.package.manifest.graphs) == {"model"}, result.package.manifest.no_graph_reason


@pytest.mark.parametrize("tuning", ["head_only", "gradual_unfreezing", "lora"])
def test_the_stem_is_trained_whatever_the_tuning(
    tuning: str, text_base: ModelPackage, digits: Path, tmp_path: Path
) -> None:
    weights = [
        load_file(fine_tune(text_base, digits, tmp_path / str(rate), tuning, schedule=schedule).package.file(WEIGHTS))
        for rate in (1e-3, 1e-2)
        for schedule in [{"epochs": 1, "batch_size": 512, "precision": "float32", "learning_rate": rate}]
    ]
    stems = [name for name in weights[0] if name.startswith("backbones.image.reader.")]
    assert len(stems) == 4
    # The same random weights at first, and another rate: they differ only if they were trained.
    assert all(not torch.equal(weights[0][name], weights[1][name]) for name in stems)


def test_a_model_of_images_starts_one_of_audio(text_base: ModelPackage, digits: Path, tmp_path: Path) -> None:
    images = fine_tune(text_base, digits, tmp_path / "image", "full").package
    request = spec("finetune", task="audio_classification", start_from={"audio": "base"})
    data = samples.path({"audio": "audio", "label": "label"})
    result = run(data, tmp_path / "audio", request, start_from={"audio": images.directory})
    crossed = result.report["transfer"]["crossed"]["audio"]
    assert (crossed["source_signal"], crossed["signal"]) == ("image", "frames")
    assert "head.linear.weight" in crossed["dropped"]
    assert set(crossed["new"]) == {"backbones.audio.reader.frames.weight", "backbones.audio.reader.frames.bias"}
