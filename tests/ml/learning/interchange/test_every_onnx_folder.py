"""An exported folder answers by itself: in a process that cannot import torch, nor anything of ours."""

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
ALONE = """
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "pydantic", "ml", "app", "worker", "store", "plinth"}:
            raise ImportError(f"{name} is barred")
sys.meta_path.insert(0, Barred())
sys.argv = sys.argv[1:]
sys.path[:] = [each for each in sys.path if each]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SEEN = {"seed": 3}
"""So that what is drawn is drawn alike."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Path] = {}

    def of(task: str) -> Path:
        if task not in made:
            entry = CATALOG.tasks[task]
            tiny = {
                slot: {
                    "name": each.default_architecture,
                    "config": ARCHITECTURES[each.default_architecture].tiny().model_dump(mode="json"),
                }
                for slot, each in entry.slots.items()
                if each.default_architecture is not None
            }
            asked: dict[str, Any] = {"architectures": tiny, "task": task}
            folder = tmp_path_factory.mktemp(task)
            made[task] = run(samples.path(entry.columns), folder, spec("finetune", **asked)).package.directory
        return made[task]

    return of


def alone(folder: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, str(folder / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def run_alone(folder: Path, *arguments: str, cwd: Path) -> list[dict[str, Any]]:
    said = alone(folder, *arguments, cwd=cwd)
    assert said.returncode == 0, said.stderr
    outputs: list[dict[str, Any]] = json.loads(said.stdout)["outputs"]
    return outputs


def alike(one: Any, other: Any) -> bool:
    """Numbers as near as float32 keeps them when a batch is padded otherwise; a wave is heard the same."""
    if isinstance(one, dict) and "audio" in one:
        waves = [np.frombuffer(base64.b64decode(each["audio"])[44:], dtype="<i2") for each in (one, other)]
        return len(waves[0]) == len(waves[1]) and np.allclose(*waves, rtol=0, atol=0.01 * 2**15)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(alike(*pair) for pair in zip(one, other, strict=True))
    return one == pytest.approx(other, rel=1e-3, abs=1e-4) if isinstance(one, float) else bool(one == other)


def inputs_of(package: ModelPackage, columns: Any) -> list[dict[str, Any]]:
    """The example of the task, which is of another size or rate than the data, and rows of the data."""
    task = package.task()
    assert task is not None
    rows = Dataset.open(samples.path(columns)).rows("test")[:3]
    given = [task.example()[0], *(task.show(row)[0] for row in rows)]
    sent = [each.model_dump(mode="json", exclude_none=True) for each in given]
    if "label" in task.input_type.model_fields:
        sent[0] |= {"label": "1"}
    if "candidates" in task.input_type.model_fields:
        sent += [{"text": "quiet film"}, {"image": sent[0]["image"]}]
    return [{**each, **SEEN} if "seed" in task.input_type.model_fields else each for each in sent]


@pytest.mark.parametrize("name", list(TASKS))
def test_a_folder_answers_as_the_service_does_without_any_of_it(name: str, packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages(name))
    report = export_model(package.directory, tmp_path / "out", format="onnx")

    told = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert report["format"] == "onnx"
    assert set(told["graphs"]) == set(package.manifest.graphs) == set(report["opset"])
    readme = (tmp_path / "out" / "README.md").read_text()
    for graph in told["graphs"].values():
        for file in graph["files"]:
            onnxruntime.InferenceSession(str(tmp_path / "out" / file), providers=["CPUExecutionProvider"])
        assert all(isinstance(each["shape"][0], str) for each in graph["inputs"]), "the batch has any length"
        assert all(each["name"] in readme for each in graph["inputs"] + graph["outputs"])
    parity = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert all(each["parity"]["rows"] for each in parity.values())
    given = inputs_of(package, CATALOG.tasks[name].columns)
    (tmp_path / "request.json").write_text(json.dumps({"inputs": given}))
    expected = Predictor.load(package).predict(given)
    found = run_alone(tmp_path / "out", str(tmp_path / "request.json"), cwd=tmp_path)
    assert alike(found, expected), (found, expected)


def test_a_base_model_answers_embeddings(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "objective": "contrastive_views",
        "architecture": {"name": "cnn", "config": {"preset": "small"}},
    }
    package = run(samples.path({"image": "image"}), tmp_path / "work", spec("pretrain", **asked)).package
    export_model(package.directory, tmp_path / "out", format="onnx")
    given = [{"pixels": [[0, 255], [255, 0]]}, {"pixels": [[9, 9, 9]]}]
    (tmp_path / "request.json").write_text(json.dumps({"inputs": given}))
    found = run_alone(tmp_path / "out", str(tmp_path / "request.json"), cwd=tmp_path)
    assert alike(found, Predictor.load(package).predict(given))
    again = export_model(package.directory, tmp_path / "again", format="onnx", opset=17)
    assert again["opset"] == {"model": 17}


def test_a_graph_in_two_files_is_run_one_after_the_other(tmp_path: Path) -> None:
    data, architecture = samples.path({"image": "image"}), {"name": "cnn", "config": {"preset": "small"}}
    asked: dict[str, Any] = {"objective": "contrastive_views", "architecture": architecture}
    base = run(data, tmp_path / "base", spec("pretrain", **asked)).package.directory
    asked = {"task": "image_classification", "start_from": "base", "tuning": "head_only"}
    package = run(data, tmp_path / "work", spec("finetune", **asked), start_from=base).package
    assert package.manifest.graphs["model"].trunk is not None
    export_model(package.directory, tmp_path / "out", format="onnx")
    given = inputs_of(package, {"image": "image"})
    (tmp_path / "request.json").write_text(json.dumps({"inputs": given}))
    found = run_alone(tmp_path / "out", str(tmp_path / "request.json"), cwd=tmp_path)
    assert alike(found, Predictor.load(package).predict(given))


@pytest.mark.parametrize("name", ["text_classification", "translation"])
def test_files_are_inputs_too(name: str, packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages(name))
    export_model(package.directory, tmp_path / "out", format="onnx")
    (tmp_path / "one.txt").write_text("a moving film\n")
    (found,) = run_alone(tmp_path / "out", "one.txt", cwd=tmp_path)
    (expected,) = Predictor.load(package).predict([{"text": "a moving film"}])
    assert alike(found, expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"inputs": [{"nothing": 1}]}', "'text'"),
        (b"{", "request.json is not JSON"),
        (b'["a"]', '{"inputs": [{...}]}'),
        (None, "request.json"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(
    packages: Any, tmp_path: Path, content: bytes | None, words: str
) -> None:
    export_model(packages("text_classification"), tmp_path / "out", format="onnx")
    if content is not None:
        (tmp_path / "request.json").write_bytes(content)
    said = alone(tmp_path / "out", "request.json", cwd=tmp_path)
    assert said.returncode == 1
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_another_opset_is_written_anew_and_answers_alike(packages: Any, tmp_path: Path) -> None:
    package = ModelPackage.open(packages("image_classification"))
    report = export_model(package.directory, tmp_path / "out", format="onnx", opset=16)
    assert report["opset"] == {"model": 16}
    assert report["graphs"]["model"]["labels_changed"] == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    picture = {"image": np.zeros((3, 1, samples.SIDE, samples.SIDE), dtype=np.float32)}
    found = session.run(["logits"], picture)[0]
    np.testing.assert_allclose(found, Predictor.load(package).run("model", picture)["logits"], atol=1e-4)


def test_a_model_without_a_graph_is_refused_with_the_reason(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModelPackage.open(packages("image_classification"))
    bare = package.manifest.model_copy(update={"graphs": {}, "no_graph_reason": "dynamo: it loops"})
    monkeypatch.setattr(ModelPackage, "open", lambda _: ModelPackage(package.directory, bare))
    with pytest.raises(PackageError, match="dynamo: it loops"):
        export_model(package.directory, tmp_path / "out", format="onnx")


def test_a_faster_variant_goes_out_beside_the_graph_it_stands_for(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModelPackage.open(packages("text_classification"))
    parity = Parity(rows=9, max_abs_difference=0.1)
    judged: dict[str, Any] = {"metric": "accuracy", "before": 0.9, "after": 0.9, "speedup": 2.0, "served": True}
    variant = Variant(name="int8", file="model.onnx", parity=parity, reason="it is fast", single_row=True, **judged)
    graph = Graph.model_validate({**package.manifest.graphs["model"].model_dump(), "variant": variant.model_dump()})
    manifest = package.manifest.model_copy(update={"graphs": {"model": graph}})
    monkeypatch.setattr(ModelPackage, "open", lambda _: ModelPackage(package.directory, manifest))
    export_model(package.directory, tmp_path / "out", format="onnx")
    assert "accuracy goes from 0.9000 to 0.9000; it is fast" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "preprocessing.json").read_text())["rows_a_call"] == 1
    given = [{"text": "a moving film"}, {"text": "dull"}]
    (tmp_path / "request.json").write_text(json.dumps({"inputs": given}))
    assert len(run_alone(tmp_path / "out", str(tmp_path / "request.json"), cwd=tmp_path)) == 2
