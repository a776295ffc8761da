"""An exported folder predicts alone, in a process that can import neither torch nor Plinth."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from ml.data.dataset import Dataset
from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.exporter import export_model
from ml.learning.nn.architectures import ARCHITECTURES
from ml.package.manifest import Graph, Parity, Variant
from ml.package.package import ModelPackage
from ml.spec.catalog import Catalog
from ml.tasks import TASKS
from tests.support.ml import samples
from tests.support.ml.digits import run, spec

CATALOG = Catalog.load()
ISOLATED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "pydantic", "ml", "app", "worker", "store", "plinth"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
sys.path[:] = [path for path in sys.path if path]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""
#: Longer than any of the models reads.
LONG_TEXT = ("a quiet, moving film " * 300).strip()
#: Makes random predictions equal.
SEED = {"seed": 3}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folders: dict[str, Path] = {}

    def train(task: str) -> Path:
        if task not in folders:
            entry = CATALOG.tasks[task]
            architectures = {
                slot: {
                    "name": slot_entry.default_architecture,
                    "config": ARCHITECTURES[slot_entry.default_architecture].tiny().model_dump(mode="json"),
                }
                for slot, slot_entry in entry.slots.items()
                if slot_entry.default_architecture is not None
            }
            options: dict[str, Any] = {"architectures": architectures, "task": task}
            workdir = tmp_path_factory.mktemp(task)
            result = run(samples.path(samples.columns_read_by(entry)), workdir, spec("finetune", **options))
            folders[task] = result.package.directory
        return folders[task]

    return train


def start_isolated(folder: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ISOLATED, str(folder / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def run_isolated(folder: Path, *arguments: str, cwd: Path) -> list[dict[str, Any]]:
    process = start_isolated(folder, *arguments, cwd=cwd)
    assert process.returncode == 0, process.stderr
    outputs: list[dict[str, Any]] = json.loads(process.stdout)["outputs"]
    return outputs


def predict_isolated(folder: Path, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    request = folder.parent / "request.json"
    request.write_text(json.dumps({"inputs": inputs}))
    return run_isolated(folder, str(request), cwd=folder.parent)


def is_close(value: Any, expected: Any) -> bool:
    """Compare numbers within the float32 error of differently padded batches, and audio sample by sample."""
    if isinstance(value, dict) and "audio" in value:
        waves = [np.frombuffer(base64.b64decode(clip["audio"])[44:], dtype="<i2") for clip in (value, expected)]
        return len(waves[0]) == len(waves[1]) and np.allclose(waves[0], waves[1], rtol=0, atol=0.01 * 2**15)
    if isinstance(value, dict):
        return value.keys() == expected.keys() and all(is_close(value[key], expected[key]) for key in value)
    if isinstance(value, list):
        return len(value) == len(expected) and all(is_close(*pair) for pair in zip(value, expected, strict=True))
    if isinstance(value, float):
        return value == pytest.approx(expected, rel=1e-3, abs=1e-4)
    return bool(value == expected)


def inputs_of(package: ModelPackage, columns: Any) -> list[dict[str, Any]]:
    """Return the example of the task, and rows of the data of another size."""
    task = package.task()
    assert task is not None
    rows = Dataset.open(samples.path(columns)).rows("test")[:3]
    raw_inputs = [task.example()[0], *(task.to_input_and_target(row)[0] for row in rows)]
    inputs = [raw_input.model_dump(mode="json", exclude_none=True) for raw_input in raw_inputs]
    if "label" in task.input_type.model_fields:
        inputs[0] |= {"label": "1"}
    if "candidates" in task.input_type.model_fields:
        inputs += [{"text": "quiet film"}, {"image": inputs[0]["image"]}]
        inputs += [{"image": inputs[0]["image"], "candidates": [LONG_TEXT, "film"]}, {"text": LONG_TEXT}]
    if task.name in ("text_classification", "translation"):
        inputs += [{"text": LONG_TEXT}, {"text": " " * 9000 + LONG_TEXT}]
    if "long_texts" in task.input_type.model_fields:
        inputs += [{"text": text, "long_texts": "windows"} for text in (LONG_TEXT, "film")]
    if "user" in task.input_type.model_fields:
        inputs += [{"user": "u5", "count": 3}, {"user": "u41", "history": ["i3"], "count": 3}]
    if task.name == "text_generation":
        inputs.append({"prompt": LONG_TEXT, "max_new_tokens": 4})
    return [{**row, **SEED} if "seed" in task.input_type.model_fields else row for row in inputs]


@pytest.mark.parametrize("name", list(TASKS))
def test_a_folder_predicts_like_the_service(name: str, packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages(name))
    report = export_model(package.directory, tmp_path / "out", format="onnx")

    metadata = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert (metadata["format"], metadata["format_version"]) == ("plinth-onnx", 2)
    assert report["format"] == "onnx"
    assert set(metadata["graphs"]) == set(package.manifest.graphs) == set(report["opset"])
    readme = (tmp_path / "out" / "README.md").read_text()
    for graph in metadata["graphs"].values():
        for file in graph["files"]:
            onnxruntime.InferenceSession(str(tmp_path / "out" / file), providers=["CPUExecutionProvider"])
        assert all(isinstance(tensor["shape"][0], str) for tensor in graph["inputs"]), "the batch has any length"
        assert all(tensor["name"] in readme for tensor in graph["inputs"] + graph["outputs"])
    for encoder in metadata["inputs"].values():
        assert set(encoder) == {"encoder", "folder", "config", "description"}
        assert encoder["description"] in readme
    parity = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert all(graph["parity"]["rows"] for graph in parity.values())
    inputs = inputs_of(package, samples.columns_read_by(CATALOG.tasks[name]))
    expected = Predictor.load(package).predict(inputs)
    outputs = predict_isolated(tmp_path / "out", inputs)
    assert is_close(outputs, expected), (outputs, expected)


def test_a_base_model_predicts_embeddings(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "objective": "contrastive_views",
        "architecture": {"name": "cnn", "config": {"preset": "small"}},
    }
    package = run(samples.path({"image": "image"}), tmp_path / "work", spec("pretrain", **options)).package
    export_model(package.directory, tmp_path / "out", format="onnx")
    inputs = [{"pixels": [[0, 255], [255, 0]]}, {"pixels": [[9, 9, 9]]}]
    assert is_close(predict_isolated(tmp_path / "out", inputs), Predictor.load(package).predict(inputs))
    report = export_model(package.directory, tmp_path / "again", format="onnx", opset=17)
    assert report["opset"] == {"model": 17}


def test_a_base_model_of_texts_says_how_much_it_read(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "objective": "masked_language_modeling",
        "architecture": {"name": "bert", "config": ARCHITECTURES["bert"].tiny().model_dump(mode="json")},
    }
    package = run(samples.path({"text": "text"}), tmp_path / "work", spec("pretrain", **options)).package
    export_model(package.directory, tmp_path / "out", format="onnx")
    inputs = [{"text": "a film"}, {"text": LONG_TEXT}, {"text": LONG_TEXT, "long_texts": "windows"}]
    outputs, expected = predict_isolated(tmp_path / "out", inputs), Predictor.load(package).predict(inputs)
    assert is_close(outputs, expected)
    assert ["truncated" in output for output in outputs] == [False, True, False]
    assert outputs[2]["windows"] > 2


def test_a_graph_in_two_files_runs_them_one_after_the_other(tmp_path: Path) -> None:
    data, architecture = samples.path({"image": "image"}), {"name": "cnn", "config": {"preset": "small"}}
    options: dict[str, Any] = {"objective": "contrastive_views", "architecture": architecture}
    base = run(data, tmp_path / "base", spec("pretrain", **options)).package.directory
    options = {"task": "image_classification", "start_from": "base", "tuning": "head_only"}
    package = run(data, tmp_path / "work", spec("finetune", **options), start_from=base).package
    assert package.manifest.graphs["model"].trunk is not None
    export_model(package.directory, tmp_path / "out", format="onnx")
    inputs = inputs_of(package, {"image": "image"})
    assert is_close(predict_isolated(tmp_path / "out", inputs), Predictor.load(package).predict(inputs))


@pytest.mark.parametrize("name", ["text_classification", "translation"])
def test_files_are_inputs_too(name: str, packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages(name))
    export_model(package.directory, tmp_path / "out", format="onnx")
    (tmp_path / "one.txt").write_text("a moving film\n")
    (output,) = run_isolated(tmp_path / "out", "one.txt", cwd=tmp_path)
    (expected,) = Predictor.load(package).predict([{"text": "a moving film"}])
    assert is_close(output, expected)


@pytest.mark.parametrize(
    ("task", "content", "words"),
    [
        ("text_classification", b'{"inputs": [{"nothing": 1}]}', "has no field 'text'"),
        ("text_classification", b"{", "request.json is not JSON"),
        ("text_classification", b'["a"]', '{"inputs": [{...}]}'),
        ("text_classification", None, "request.json"),
        ("image_classification", b'{"inputs": [{"image": "AAAA"}]}', "the file is not an image. Send PNG"),
        (
            "tabular_classification",
            b'{"inputs": [{"lenght": 1}]}',
            "no field named 'lenght'; known: length, site, width",
        ),
    ],
)
def test_a_request_that_cannot_be_read_gives_one_line(
    packages: Any, tmp_path: Path, task: str, content: bytes | None, words: str
) -> None:
    export_model(packages(task), tmp_path / "out", format="onnx")
    if content is not None:
        (tmp_path / "request.json").write_bytes(content)
    process = start_isolated(tmp_path / "out", "request.json", cwd=tmp_path)
    assert process.returncode == 1
    assert words in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_run_refuses_a_folder_of_another_format_version(packages: Any, tmp_path: Path) -> None:
    export_model(packages("text_classification"), tmp_path / "out", format="onnx")
    path = tmp_path / "out" / "preprocessing.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 3}))
    (tmp_path / "one.txt").write_text("a film")
    process = start_isolated(tmp_path / "out", "one.txt", cwd=tmp_path)
    assert process.returncode == 1
    assert "format_version 3, and run.py reads 2" in process.stderr


def test_another_opset_is_exported_again_and_predicts_the_same(packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages("image_classification"))
    report = export_model(package.directory, tmp_path / "out", format="onnx", opset=16)
    assert report["opset"] == {"model": 16}
    assert report["graphs"]["model"]["labels_changed"] == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    images = {"image": np.zeros((3, 1, samples.SIDE, samples.SIDE), dtype=np.float32)}
    logits = session.run(["logits"], images)[0]
    np.testing.assert_allclose(logits, Predictor.load(package).run("model", images)["logits"], atol=1e-4)


def test_a_model_without_a_graph_is_refused_with_the_reason(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModelPackage.open(packages("image_classification"))
    manifest = package.manifest.model_copy(update={"graphs": {}, "no_graph_reason": "dynamo: it loops"})
    monkeypatch.setattr(ModelPackage, "open", lambda _: ModelPackage(package.directory, manifest))
    with pytest.raises(PackageError, match="dynamo: it loops"):
        export_model(package.directory, tmp_path / "out", format="onnx")


def test_a_faster_variant_is_exported_beside_its_graph(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModelPackage.open(packages("text_classification"))
    parity = Parity(rows=9, max_abs_difference=0.1)
    scores: dict[str, Any] = {"metric": "accuracy", "before": 0.9, "after": 0.9, "speedup": 2.0, "served": True}
    variant = Variant(name="int8", file="model.onnx", parity=parity, reason="it is fast", single_row=True, **scores)
    graph = Graph.model_validate({**package.manifest.graphs["model"].model_dump(), "variant": variant.model_dump()})
    manifest = package.manifest.model_copy(update={"graphs": {"model": graph}})
    monkeypatch.setattr(ModelPackage, "open", lambda _: ModelPackage(package.directory, manifest))
    export_model(package.directory, tmp_path / "out", format="onnx")
    assert "accuracy goes from 0.9000 to 0.9000; it is fast" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "preprocessing.json").read_text())["max_batch_size"] == 1
    assert len(predict_isolated(tmp_path / "out", [{"text": "a moving film"}, {"text": "dull"}])) == 2
