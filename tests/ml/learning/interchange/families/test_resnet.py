"""Residual networks predict the same in the transformers library and here, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.exporter import export_model
from ml.learning.interchange.importer import import_model
from ml.learning.nn.architectures.resnet import ResNet
from ml.package.checksums import digest
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.model_folders import zip_folder

SIDE = 40
#: float32 sums of a few dozen terms, in another order.
TOLERANCE = 1e-5
SHAPES: dict[str, dict[str, Any]] = {
    "basic": {"layer_type": "basic", "embedding_size": 6, "hidden_sizes": [6, 8], "depths": [2, 1]},
    "bottleneck": {"layer_type": "bottleneck", "embedding_size": 4, "hidden_sizes": [16, 32], "depths": [1, 2]},
}


def folder_of(path: Path, model: Any, *, has_processor: bool = True) -> Path:
    """Save a model with batch statistics that differ from the initial ones."""
    with torch.no_grad():
        for name, tensor in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                tensor.uniform_(0.5, 1.5)
    model.eval().save_pretrained(path)
    if has_processor:
        preprocessor = {
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": SIDE, "width": SIDE},
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 2,
        }
        (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, size=(count, SIDE, SIDE, 3), dtype=np.uint8)


def preprocess(folder: Path, pixels: np.ndarray) -> torch.Tensor:
    return transformers.AutoImageProcessor.from_pretrained(folder)(list(pixels), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_base_model_predicts_the_same_embeddings(tmp_path: Path, shape: str) -> None:
    model = transformers.ResNetModel(transformers.ResNetConfig(**SHAPES[shape]))
    folder = folder_of(tmp_path / "pretrained", model)
    report = import_model(zip_folder(folder, tmp_path / "m.zip", modeling_dot_py=b"import os"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    assert package.manifest.task is None
    assert package.manifest.graphs, package.manifest.no_graph_reason
    assert report["transfer"]["dropped"] == []
    assert any("modeling.py" in note for note in report["notes"])
    pixels = random_images(3)
    with torch.no_grad():
        expected = model(pixel_values=preprocess(folder, pixels)).pooler_output.flatten(1)
    outputs = Predictor.load(package).predict([{"pixels": image.tolist()} for image in pixels])
    np.testing.assert_allclose([output["embedding"] for output in outputs], expected.numpy(), atol=TOLERANCE)


def test_a_classifier_keeps_the_order_of_its_labels(tmp_path: Path) -> None:
    labels = {0: "zebra", 1: "ant", 2: "mole"}
    model = transformers.ResNetForImageClassification(transformers.ResNetConfig(**SHAPES["basic"], id2label=labels))
    folder = folder_of(tmp_path / "pretrained", model)
    report = import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package", task="image_classification")
    assert report["labels"] == ["zebra", "ant", "mole"]
    pixels = random_images(4)
    with torch.no_grad():
        expected = model(pixel_values=preprocess(folder, pixels)).logits.softmax(dim=1).numpy()
    outputs = Predictor.load(ModelPackage.open(tmp_path / "package")).predict(
        [{"pixels": image.tolist()} for image in pixels]
    )
    for output, row in zip(outputs, expected, strict=True):
        assert output["probabilities"] == pytest.approx(dict(zip(labels.values(), row, strict=True)), abs=TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_classifier_is_exported_unchanged(tmp_path: Path, shape: str) -> None:
    model = transformers.ResNetForImageClassification(
        transformers.ResNetConfig(**SHAPES[shape], id2label={0: "no", 1: "yes"})
    )
    folder = folder_of(tmp_path / "pretrained", model)
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    report = export_model(tmp_path / "package", tmp_path / "out")
    assert report["files"] == ["config.json", "model.safetensors", "preprocessor_config.json"]
    exported = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
    assert exported.config.id2label == {0: "no", 1: "yes"}
    assert {name: tensor.tolist() for name, tensor in exported.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in model.state_dict().items()
    }
    pixels = random_images(2)
    torch.testing.assert_close(preprocess(tmp_path / "out", pixels), preprocess(folder, pixels), atol=1e-6, rtol=1e-6)
    assert transformers.AutoModel.from_pretrained(tmp_path / "out").config.depths == SHAPES[shape]["depths"]


def test_an_unsupported_head_is_dropped_with_a_note(tmp_path: Path) -> None:
    labels = {0: "a", 1: "b"}
    config = transformers.ResNetConfig(**SHAPES["basic"], id2label=labels, problem_type="multi_label_classification")
    folder = folder_of(tmp_path / "pretrained", transformers.ResNetForImageClassification(config))
    archive = zip_folder(folder, tmp_path / "m.zip")
    report = import_model(archive, tmp_path / "package")
    assert report["task"] is None
    assert any("multi_label_classification" in note for note in report["notes"])
    assert report["transfer"]["dropped"] == ["classifier.1.bias", "classifier.1.weight"]
    with pytest.raises(PackageError, match="base model"):
        import_model(archive, tmp_path / "other", task="image_classification")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck"),
        ({"depths": [2, 2]}, "lack"),
        ({"hidden_sizes": [6, 16]}, "shapes|lack"),
        ({"depths": "many"}, "."),
        ({"id2label": {"0": "a", "2": "b"}}, "without a gap"),
        ({"id2label": {"0": "a", "1": "a"}}, "twice"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = folder_of(
        tmp_path / "pretrained", transformers.ResNetForImageClassification(transformers.ResNetConfig(**SHAPES["basic"]))
    )
    config = json.loads((folder / "config.json").read_text())
    for derived in ("stage_names", "out_features", "out_indices", "label2id"):
        config.pop(derived, None)
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(PackageError, match=message):
        import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")


def test_shards_are_loaded_by_their_index(tmp_path: Path) -> None:
    model = transformers.ResNetModel(transformers.ResNetConfig(**SHAPES["bottleneck"]))
    folder = folder_of(tmp_path / "pretrained", model)
    model.save_pretrained(folder, max_shard_size="10KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    import_model(zip_folder(folder, tmp_path / "m.zip"), tmp_path / "package")
    assert ModelPackage.open(tmp_path / "package").manifest.graphs


def test_blocks_of_other_widths_than_their_stage_are_refused(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source", transformers.ResNetModel(transformers.ResNetConfig(**SHAPES["basic"])))
    import_model(zip_folder(source, tmp_path / "source.zip"), tmp_path / "package")
    package = ModelPackage.open(tmp_path / "package")
    choice = package.manifest.architectures["image"]
    usual = [[width] * depth for width, depth in choice.config["stages"]]

    def set_inner(inner: list[list[int]]) -> None:
        config = {**choice.config, "inner": inner}
        package.update(architectures={"image": choice.model_copy(update={"config": config})})

    set_inner(usual)
    export_model(package.directory, tmp_path / "out", format="huggingface")
    smaller = ResNet(ResNet.configure({**choice.config, "inner": [[6, 5], [8]]}), shape={"channels": 3})
    tensors = {f"backbones.image.{name}": tensor.contiguous() for name, tensor in smaller.state_dict().items()}
    save_file(tensors, package.directory / WEIGHTS)
    set_inner([[6, 5], [8]])
    entries = [
        entry.model_copy(update={"bytes": path.stat().st_size, "sha256": digest(path)})
        for entry in package.manifest.files
        if (path := package.directory / entry.path)
    ]
    package.update(files=entries)
    with pytest.raises(PackageError, match="other widths than their stage"):
        export_model(package.directory, tmp_path / "other", format="huggingface")
