"""A package that was downloaded comes back in, if it still is what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.learning.interchange.importer import import_model
from ml.package.checksums import digest
from ml.package.manifest import MANIFEST
from ml.package.package import WEIGHTS, ModelPackage
from tests.support.ml.digits import run, spec
from tests.support.ml.model_folders import zipped


@pytest.fixture(scope="module")
def package(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("trained")
    return run(digits, folder, spec("finetune", task="image_classification", architecture="cnn")).package


@pytest.mark.parametrize("below", ["", "digits-1/"])
def test_a_package_comes_back_as_it_was(package: ModelPackage, tmp_path: Path, below: str) -> None:
    archive = zipped(package.directory, tmp_path / "digits.zip", below=below, notes_dot_txt=b"by the way")
    report = import_model(archive, tmp_path / "package")
    back = ModelPackage.open(tmp_path / "package")
    assert back.manifest == package.manifest
    assert report["task"] == "image_classification"
    assert [note for note in report["notes"] if "notes.txt" in note]
    example = Predictor.load(package).signature()["example"]
    assert Predictor.load(back).predict([example["input"]]) == [example["output"]]


def tampered(package: ModelPackage, folder: Path, name: str, content: bytes, *, resealed: bool) -> Path:
    for file in package.manifest.files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes((package.directory / file.path).read_bytes())
    (folder / name).write_bytes(content)
    manifest = json.loads((package.directory / MANIFEST).read_text())
    for file in manifest["files"]:
        if resealed and file["path"] == name:
            file |= {"bytes": len(content), "sha256": digest(folder / name)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return zipped(folder, folder.with_suffix(".zip"))


def test_another_byte_is_found_by_its_checksum(package: ModelPackage, tmp_path: Path) -> None:
    content = bytearray(package.file(WEIGHTS).read_bytes())
    content[-1] ^= 1
    with pytest.raises(PackageError, match="damaged"):
        import_model(tampered(package, tmp_path / "it", WEIGHTS, bytes(content), resealed=False), tmp_path / "package")


def test_a_graph_that_is_not_the_weights_is_found_by_its_answers(package: ModelPackage, tmp_path: Path) -> None:
    weights = load_file(package.file(WEIGHTS))
    weights["head.linear.bias"] = weights["head.linear.bias"] + 1
    save_file(weights, tmp_path / WEIGHTS)
    other = (tmp_path / WEIGHTS).read_bytes()
    with pytest.raises(PackageError, match="answers otherwise than its weights"):
        import_model(tampered(package, tmp_path / "it", WEIGHTS, other, resealed=True), tmp_path / "package")


def test_a_missing_file_is_named(package: ModelPackage, tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / MANIFEST).write_bytes((package.directory / MANIFEST).read_bytes())
    with pytest.raises(PackageError, match="lacks files"):
        import_model(zipped(folder, tmp_path / "it.zip"), tmp_path / "package")


def test_another_task_than_its_own_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    archive = zipped(package.directory, tmp_path / "digits.zip")
    with pytest.raises(PackageError, match="is image_classification"):
        import_model(archive, tmp_path / "package", task="image_generation")
