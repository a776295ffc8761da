"""An ONNX graph is imported if it fits the inputs of a task."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.importer import import_model
from ml.learning.interchange.onnx_graphs.adapters import ADAPTERS
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.spec.check import check
from ml.spec.schema import Finetune
from ml.tasks import TASKS
from ml.tasks.base import MODEL

SIDE = 4


def save_graph(
    path: Path,
    *,
    shape: tuple[Any, ...] = ("N", 1, SIDE, SIDE),
    classes: int = 2,
    softmax: bool = True,
    input_name: str = "pixel_values",
    metadata: dict[str, str] | None = None,
) -> Path:
    """Save a graph with the mean of an image times -20 and 20 as logits."""
    nodes = [
        helper.make_node("ReduceMean", [input_name], ["image"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["image", "one"], ["column"]),
        helper.make_node("Gemm", ["column", "weight", "bias"], ["scores"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weight", TensorProto.FLOAT, [1, classes], [-20.0, 20.0] + [0.0] * (classes - 2)),
        helper.make_tensor("bias", TensorProto.FLOAT, [classes], [10.0, -10.0] + [0.0] * (classes - 2)),
    ]
    pixels = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, list(shape))
    scores = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["N", classes])
    model = helper.make_model(
        helper.make_graph(nodes, "shades", [pixels], [scores], constants),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=10,
    )
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def test_a_graph_predicts_the_labels_of_the_request(tmp_path: Path) -> None:
    report = import_model(
        save_graph(tmp_path / "shades.onnx"),
        tmp_path / "package",
        task="image_classification",
        labels=["light?", "dark!"],
    )
    package = ModelPackage.open(tmp_path / "package")
    assert package.has_graphs_only
    assert package.manifest.labels == report["labels"] == ["light?", "dark!"], "never reordered"
    predictor = Predictor.load(package)
    assert predictor.engine == "onnxruntime"
    dark, light = predictor.predict([{"pixels": [[0] * SIDE] * SIDE}, {"pixels": [[255] * SIDE] * SIDE}])
    assert (dark["label"], light["label"]) == ("light?", "dark!")
    # Logits of 10 and -10 through one softmax, not through two.
    assert dark["confidence"] == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-6)
    assert any("softmax" in note for note in report["notes"])


@pytest.mark.parametrize(
    "metadata", [{"labels": '["a", "b"]'}, {"names": '{"1": "b", "0": "a"}'}, {"classes": '["a", "b"]'}]
)
def test_labels_are_read_from_the_metadata_of_the_file(tmp_path: Path, metadata: dict[str, str]) -> None:
    source = save_graph(tmp_path / "shades.onnx", softmax=False, metadata=metadata, input_name="logits")
    report = import_model(source, tmp_path / "package", task="image_classification")
    assert report["labels"] == ["a", "b"]


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        (("N", 1, "H", "W"), 2, "not images"),
        (("N", SIDE * SIDE), 2, "not images"),
        ((1, 1, SIDE, SIDE), 2, "not images"),
        (("N", 4, SIDE, SIDE), 2, "not images"),
        (("N", 1, 4096, 4096), 2, "too large"),
        (("N", 1, SIDE, SIDE), 3, "1 x 3"),
    ],
)
def test_other_inputs_are_refused_with_the_expected_ones(
    tmp_path: Path, shape: tuple[Any, ...], classes: int, message: str
) -> None:
    source = save_graph(tmp_path / "shades.onnx", shape=shape, classes=classes)
    with pytest.raises(PackageError, match=message) as error_info:
        import_model(source, tmp_path / "package", task="image_classification", labels=["a", "b"])
    assert "float32 [batch, classes]" in (error_info.value.hint or "")


def test_the_task_is_required(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="image_classification, text_classification") as error_info:
        import_model(save_graph(tmp_path / "shades.onnx"), tmp_path / "package", labels=["a", "b"])
    assert "pixels in 0..1" in (error_info.value.hint or "")
    assert "tokenizer.json" in (error_info.value.hint or "")


@pytest.mark.parametrize("task", sorted(TASKS.keys() - ADAPTERS.keys()))
def test_other_tasks_are_refused_with_the_reason_and_what_to_send(tmp_path: Path, task: str) -> None:
    has_several_steps = len(TASKS[task].graphs) > 1 or MODEL not in TASKS[task].graphs
    with pytest.raises(
        PackageError, match="several steps" if has_several_steps else "no standard inputs and outputs"
    ) as error_info:
        import_model(save_graph(tmp_path / "shades.onnx"), tmp_path / "package", task=task, labels=["a", "b"])
    assert "Hugging Face folder" in (error_info.value.hint or "")


@pytest.mark.parametrize("labels", [None, ["a", "a"]])
def test_at_least_two_different_labels_are_required(tmp_path: Path, labels: list[str] | None) -> None:
    with pytest.raises(PackageError, match=r"classes|different"):
        import_model(
            save_graph(tmp_path / "shades.onnx"), tmp_path / "package", task="image_classification", labels=labels
        )


def save_tensors_outside(path: Path, location: str) -> Path:
    """Let the weight of a graph refer to a file."""
    model = onnx.load(path)
    weight = model.graph.initializer[1]
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("float_data")
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(model.SerializeToString())
    return path


def save_archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_graph_that_comes_without_its_tensors_is_refused(tmp_path: Path) -> None:
    path = save_tensors_outside(save_graph(tmp_path / "shades.onnx"), "shades.onnx.data")
    with pytest.raises(PackageError, match=r"other files: shades\.onnx\.data"):
        import_model(path, tmp_path / "package", task="image_classification", labels=["a", "b"])
    archive = save_archive(tmp_path / "shades.zip", {"shades.onnx": path.read_bytes()})
    with pytest.raises(PackageError, match=r"not sent: shades\.onnx\.data"):
        import_model(archive, tmp_path / "package", task="image_classification", labels=["a", "b"])


@pytest.mark.parametrize("location", ["../../other/file", "/other/file", "inner/../../file"])
def test_tensors_outside_of_the_folder_of_the_graph_are_refused(tmp_path: Path, location: str) -> None:
    path = save_tensors_outside(save_graph(tmp_path / "shades.onnx"), location)
    archive = save_archive(tmp_path / "shades.zip", {"models/shades.onnx": path.read_bytes()})
    with pytest.raises(PackageError, match="outside of its folder"):
        import_model(archive, tmp_path / "package", task="image_classification", labels=["a", "b"])


@pytest.mark.parametrize("folder", ["", "export/"])
def test_tensors_beside_a_graph_in_a_zip_are_read(tmp_path: Path, folder: str) -> None:
    graph = tmp_path / "outside" / "shades.onnx"
    graph.parent.mkdir()
    model = onnx.load(save_graph(tmp_path / "shades.onnx"))
    for tensor in model.graph.initializer:  # Only raw bytes can be in another file.
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, graph, save_as_external_data=True, location="shades.onnx.data", size_threshold=0)
    files = {f"{folder}{file.name}": file.read_bytes() for file in graph.parent.iterdir()}
    assert len(files) == 2
    archive = save_archive(tmp_path / "shades.zip", files)
    import_model(archive, tmp_path / "package", task="image_classification", labels=["light", "dark"])
    assert confidence_of_dark(tmp_path / "package") == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-6)


def confidence_of_dark(package: Path) -> float:
    """Return the probability of `light` for a black image: logits 10 and -10."""
    [answer] = Predictor.load(ModelPackage.open(package)).predict([{"pixels": [[0] * SIDE] * SIDE}])
    return float(answer["probabilities"]["light"])


#: Operators behind the logits, with their attributes.
ENDINGS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "logits": [],
    "log probabilities": [("LogSoftmax", {"axis": 1})],
    "a softmax over the last axis": [("Softmax", {})],
    "a softmax and a copy": [("Softmax", {"axis": 1}), ("Identity", {})],
    "a softmax and a cast": [("Softmax", {"axis": -1}), ("Cast", {"to": TensorProto.FLOAT})],
    "half precision": [("Softmax", {"axis": 1}), ("Cast", {"to": TensorProto.FLOAT16})],
    "double precision": [("Cast", {"to": TensorProto.DOUBLE})],
    "the exponential of log probabilities": [("LogSoftmax", {"axis": 1}), ("Exp", {})],
    "the exponential of a copy": [("LogSoftmax", {"axis": 1}), ("Identity", {}), ("Exp", {}), ("Identity", {})],
    "an unknown way to probabilities": [("Softmax", {"axis": 1}), ("Abs", {})],
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_every_ending_of_a_classifier_gives_the_same_probabilities(
    tmp_path: Path, ending: list[tuple[str, dict[str, Any]]]
) -> None:
    path = append_nodes(save_graph(tmp_path / "shades.onnx", softmax=False), ending)
    report = import_model(path, tmp_path / "package", task="image_classification", labels=["light", "dark"])
    assert confidence_of_dark(tmp_path / "package") == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-6)
    changes_values = any(operator in ("Softmax", "Exp") for operator, _ in ending)
    assert any("softmax" in note or "sums to 1" in note for note in report["notes"]) == changes_values


@pytest.mark.parametrize("operator", ["Clip", "HardSigmoid"])
def test_probabilities_that_do_not_sum_to_1_are_refused_whatever_the_graph_ends_in(
    tmp_path: Path, operator: str
) -> None:
    path = append_nodes(save_column(tmp_path / "shades.onnx", columns=2), [(operator, {}), ("Identity", {})])
    with pytest.raises(PackageError, match=f"ends in {operator}, are between 0 and 1 and do not sum to 1"):
        import_model(path, tmp_path / "package", task="image_classification", labels=["dark", "light"])


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ([("Softmax", {}), ("Round", {})], "only 0 and 1"),
        ([("Softmax", {}), ("Cast", {"to": TensorProto.INT64})], "the number of a class"),
        ([("Hardmax", {})], "only 0 and 1"),
    ],
)
def test_endings_that_are_neither_logits_nor_probabilities_are_refused(
    tmp_path: Path, ending: list[tuple[str, dict[str, Any]]], message: str
) -> None:
    path = append_nodes(save_graph(tmp_path / "shades.onnx", softmax=False), ending)
    with pytest.raises(PackageError, match=message):
        import_model(path, tmp_path / "package", task="image_classification", labels=["light", "dark"])


def test_probabilities_in_percent_are_refused(tmp_path: Path) -> None:
    path = append_nodes(save_graph(tmp_path / "shades.onnx", softmax=False), [("Softmax", {}), ("Mul", {})])
    model = onnx.load(path)
    model.graph.node[-1].input.append("hundred")
    model.graph.initializer.append(helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0]))
    onnx.save(model, path)
    with pytest.raises(PackageError, match="each row sum to 100"):
        import_model(path, tmp_path / "package", task="image_classification", labels=["light", "dark"])


def append_nodes(path: Path, ending: list[tuple[str, dict[str, Any]]]) -> Path:
    """Append operators to a graph, one behind the other."""
    model = onnx.load(path)
    [output] = model.graph.output
    for step, (operator, attributes) in enumerate(ending):
        model.graph.node.append(helper.make_node(operator, [output.name], [f"step_{step}"], **attributes))
        output.name = f"step_{step}"
        output.type.tensor_type.elem_type = attributes.get("to", output.type.tensor_type.elem_type)
    onnx.save(model, path)
    return path


def test_one_output_behind_a_sigmoid_is_the_probability_of_the_second_label(tmp_path: Path) -> None:
    path = save_column(tmp_path / "shades.onnx", columns=1)
    report = import_model(path, tmp_path / "package", task="image_classification", labels=["dark", "light"])
    package = ModelPackage.open(tmp_path / "package")
    dark, light = Predictor.load(package).predict([{"pixels": [[0] * SIDE] * SIDE}, {"pixels": [[255] * SIDE] * SIDE}])
    assert dark["probabilities"]["light"] == pytest.approx(1 / (1 + np.exp(1.0)), abs=1e-6)
    assert light["probabilities"]["light"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)
    assert any("second label" in note for note in report["notes"])


def test_several_outputs_behind_a_sigmoid_are_refused(tmp_path: Path) -> None:
    path = save_column(tmp_path / "shades.onnx", columns=2)
    with pytest.raises(PackageError, match="sigmoid over 2 outputs"):
        import_model(path, tmp_path / "package", task="image_classification", labels=["dark", "light"])


def save_column(path: Path, *, columns: int) -> Path:
    """Save a graph with the sigmoid of 3 x mean of an image - 1."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["image"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["image", "one"], ["column"]),
        helper.make_node("Gemm", ["column", "weight", "bias"], ["scores"]),
        helper.make_node("Sigmoid", ["scores"], ["probability"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weight", TensorProto.FLOAT, [1, columns], [3.0] * columns),
        helper.make_tensor("bias", TensorProto.FLOAT, [columns], [-1.0] * columns),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])
    scores = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", columns])
    graph = helper.make_graph(nodes, "shades", [pixels], [scores], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10), path)
    return path


def test_scores_with_two_axes_of_one_element_are_flattened(tmp_path: Path) -> None:
    path = append_nodes(save_graph(tmp_path / "shades.onnx", softmax=False), [])
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]))
    model.graph.node.append(helper.make_node("Unsqueeze", ["scores", "axes"], ["map"]))
    model.graph.node.append(helper.make_node("Softmax", ["map"], ["probabilities"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2, 1, 1]))
    onnx.save(model, path)
    import_model(path, tmp_path / "package", task="image_classification", labels=["light", "dark"])
    assert confidence_of_dark(tmp_path / "package") == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-6)


@pytest.mark.parametrize("element_type", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_pixels_are_cast_to_the_type_of_the_graph(tmp_path: Path, element_type: int) -> None:
    path = save_graph(tmp_path / "shades.onnx")
    model = onnx.load(path)
    model.graph.node.insert(0, helper.make_node("Cast", ["pixel_values"], ["floats"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "floats"
    model.graph.input[0].type.tensor_type.elem_type = element_type
    onnx.save(model, path)
    import_model(path, tmp_path / "package", task="image_classification", labels=["light", "dark"])
    assert confidence_of_dark(tmp_path / "package") == pytest.approx(1 / (1 + np.exp(-20.0)), abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a graph at all", json.dumps({"a": 1}).encode()])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shades.onnx").write_bytes(content)
    with pytest.raises(PackageError, match="is not an ONNX file"):
        import_model(tmp_path / "shades.onnx", tmp_path / "package", task="image_classification", labels=["a", "b"])


def test_training_cannot_start_from_a_graph_without_weights(tmp_path: Path) -> None:
    import_model(save_graph(tmp_path / "s.onnx"), tmp_path / "package", task="image_classification", labels=["a", "b"])
    parent = ModelPackage.open(tmp_path / "package").manifest
    request = {"kind": "finetune", "dataset": "d", "task": "image_classification", "start_from": "shades", "model": "m"}
    for architecture in (None, "cnn"):
        spec = Finetune.model_validate({**request, "architecture": architecture})
        findings = check(spec, Catalog.load(), None, parent)
        assert [(finding.code, finding.path) for finding in findings] == [("does_not_fit", "start_from")]
