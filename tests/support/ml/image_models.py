"""Images and packages that several tests start from."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from ml.config import Choice
from ml.data.dataset import DatasetSummary
from ml.data.rows import ImageArray, Rows
from ml.encoders.image import ImageConfig, ImageEncoder
from ml.package.manifest import Graph, Manifest, Parity
from ml.package.package import ModelPackage

SIDE = 8
CLASSES = ("0", "1", "2")


def encoder(*, height: int = SIDE, width: int = SIDE, channels: int = 1) -> ImageEncoder:
    return ImageEncoder(ImageConfig(height=height, width=width, channels=channels))


def rows(count: int = 12, *, labels: bool = True) -> Rows:
    pixels = np.random.default_rng(0).integers(0, 256, size=(count, SIDE, SIDE, 1), dtype=np.uint8)
    columns: dict[str, Any] = {"image": ImageArray(pixels)}
    if labels:
        columns["label"] = [CLASSES[row % len(CLASSES)] for row in range(count)]
    return Rows(columns)


def summary(**changes: Any) -> DatasetSummary:
    usual: dict[str, Any] = {
        "format": "idx",
        "task": "image_classification",
        "columns": {"image": "image", "label": "label"},
        "splits": {"train": 12, "validation": 3, "test": 3},
        "classes": list(CLASSES),
        "facts": {"image": {"channels": 1, "min_height": 8, "max_height": 8, "min_width": 8, "max_width": 8}},
    }
    return DatasetSummary.model_validate({**usual, **changes})


def classifier_graph(path: Path, weights: np.ndarray) -> None:
    """`embedding` is the flattened image, `logits` its product with `weights` [pixels, classes]."""
    pixels, classes = weights.shape
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["embedding"]),
            helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", pixels]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def drawer_graph(path: Path, *, latent: int) -> None:
    """Spread the noise over the image and squash it; a class makes it brighter."""
    spread = np.random.default_rng(1).normal(size=(latent, SIDE * SIDE)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["noise", "spread"], ["drawn"]),
            helper.make_node("Cast", ["label"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["number", "last"], ["brightness"]),
            helper.make_node("Add", ["drawn", "brightness"], ["bright"]),
            helper.make_node("Sigmoid", ["bright"], ["squashed"]),
            helper.make_node("Reshape", ["squashed", "shape"], ["image"]),
        ],
        "drawer",
        [
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", latent]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [
            numpy_helper.from_array(spread, "spread"),
            numpy_helper.from_array(np.array([1]), "last"),
            numpy_helper.from_array(np.array([-1, 1, SIDE, SIDE]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def weights() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(SIDE * SIDE, len(CLASSES))).astype(np.float32)


def package(folder: Path, *, task: str | None = "image_classification", graph: bool = True) -> ModelPackage:
    """Linear classifier of 8 x 8 images; a base model without a task."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / "weights.safetensors"
    save_file({"weights": weights()}, tensors)
    files = {"weights.safetensors": tensors}
    if graph:
        files["model.onnx"] = folder / "model.onnx"
        classifier_graph(files["model.onnx"], weights())
    manifest = Manifest(
        task=Choice(name=task) if task else None,
        architectures={"image": Choice(name="cnn")},
        labels=list(CLASSES) if task else None,
        parameters=weights().size,
        graphs={"model": describe(inputs=["image"], outputs=["logits", "embedding"])} if graph else {},
        no_graph_reason=None if graph else "it was left out",
    )
    state = {"labels": list(CLASSES)} if task else None
    return ModelPackage.create(folder / "package", manifest, files=files, encoders={"image": encoder()}, state=state)


def drawing_package(folder: Path) -> ModelPackage:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"weights.safetensors": folder / "weights.safetensors", "model.onnx": folder / "model.onnx"}
    save_file({"weights": weights()}, files["weights.safetensors"])
    drawer_graph(files["model.onnx"], latent=4)
    manifest = Manifest(
        task=Choice(name="image_generation"),
        architectures={"image": Choice(name="vae")},
        parameters=1,
        graphs={"model": describe(inputs=["noise", "label"], outputs=["image"])},
    )
    state = {"labels": list(CLASSES), "latent": 4}
    return ModelPackage.create(folder / "package", manifest, files=files, encoders={"image": encoder()}, state=state)


def describe(*, inputs: list[str], outputs: list[str]) -> Graph:
    return Graph(
        file="model.onnx", opset=18, inputs=inputs, outputs=outputs, parity=Parity(rows=1, max_abs_difference=0.0)
    )
