"""A downloaded package is imported again if it is unchanged."""

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
from tests.support.ml.model_folders import zip_folder


@pytest.fixture(scope="module")
def package(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    folder = tmp_path_factory.mktemp("trained")
    return run(digits, folder, spec("finetune", task="image_classification", architecture="cnn")).package


@pytest.mark.parametrize("prefix", ["", "digits-1/"])
def test_a_package_is_imported_unchanged(package: ModelPackage, tmp_path: Path, prefix: str) -> None:
    archive = zip_folder(package.directory, tmp_path / "digits.zip", prefix=prefix, notes_dot_txt=b"by the way")
    report = import_model(archive, tmp_path / "package")
    imported = ModelPackage.open(tmp_path / "package")
    assert imported.manifest == package.manifest
    assert report["task"] == "image_classification"
    assert [note for note in report["notes"] if "notes.txt" in note]
    example = Predictor.load(package).signature()["example"]
    assert Predictor.load(imported).predict([example["input"]]) == [example["output"]]


def zip_changed(package: ModelPackage, folder: Path, name: str, content: bytes, *, has_new_checksum: bool) -> Path:
    for file in package.manifest.files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes((package.directory / file.path).read_bytes())
    (folder / name).write_bytes(content)
    manifest = json.loads((package.directory / MANIFEST).read_text())
    for file in manifest["files"]:
        if has_new_checksum and file["path"] == name:
            file |= {"bytes": len(content), "sha256": digest(folder / name)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return zip_folder(folder, folder.with_suffix(".zip"))


def test_a_changed_byte_is_detected_by_its_checksum(package: ModelPackage, tmp_path: Path) -> None:
    content = bytearray(package.file(WEIGHTS).read_bytes())
    content[-1] ^= 1
    with pytest.raises(PackageError, match="damaged"):
        import_model(
            zip_changed(package, tmp_path / "it", WEIGHTS, bytes(content), has_new_checksum=False), tmp_path / "package"
        )


def test_a_graph_that_differs_from_the_weights_is_detected_by_its_outputs(
    package: ModelPackage, tmp_path: Path
) -> None:
    weights = load_file(package.file(WEIGHTS))
    weights["head.linear.bias"] = weights["head.linear.bias"] + 1
    save_file(weights, tmp_path / WEIGHTS)
    changed = (tmp_path / WEIGHTS).read_bytes()
    with pytest.raises(PackageError, match="differ from those of the weights"):
        import_model(
            zip_changed(package, tmp_path / "it", WEIGHTS, changed, has_new_checksum=True), tmp_path / "package"
        )


def test_a_missing_file_is_named(package: ModelPackage, tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    (folder / MANIFEST).write_bytes((package.directory / MANIFEST).read_bytes())
    with pytest.raises(PackageError, match="lacks files that manifest"):
        import_model(zip_folder(folder, tmp_path / "it.zip"), tmp_path / "package")


def test_a_request_for_another_task_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    archive = zip_folder(package.directory, tmp_path / "digits.zip")
    with pytest.raises(PackageError, match="package is image_classification"):
        import_model(archive, tmp_path / "package", task="image_generation")
