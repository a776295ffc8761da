import json
import struct

import numpy as np
import pytest

from ml.config import Choice
from ml.errors import PackageError
from ml.inference.predictor import Predictor
from ml.package.checksums import digest
from ml.package.manifest import Manifest
from ml.package.package import MAX_WEIGHTS_HEADER_BYTES, ModelPackage
from tests.support.ml import image_models


@pytest.fixture
def package(tmp_path):
    return image_models.package(tmp_path)


def rewrite(package, **changes):
    """Change the manifest as someone with an editor would."""
    path = package.directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_package_is_opened_as_it_was_created(package):
    opened = ModelPackage.open(package.directory)

    assert opened.manifest == package.manifest
    assert [file.path for file in opened.manifest.files] == [
        "encoders/image/encoder.json",
        "model.onnx",
        "task/state.json",
        "weights.safetensors",
    ]
    assert opened.manifest.encoders["image"] == Choice(name="image", config=image_models.encoder().config.model_dump())
    assert opened.encoders()["image"].shape() == {"channels": 1, "height": 8, "width": 8}
    task = opened.task()
    assert task is not None
    assert task.state == {"labels": ["0", "1", "2"]}


def test_a_base_model_has_no_task(tmp_path):
    base = image_models.package(tmp_path, task=None)

    assert ModelPackage.open(base.directory).task() is None
    assert not (base.directory / "task").exists()


def test_checksums_are_of_the_files(package):
    for file in package.manifest.files:
        path = package.directory / file.path
        assert (file.bytes, file.sha256) == (path.stat().st_size, digest(path))


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "model.onnx", "task/state.json", "encoders/image/encoder.json"]
)
def test_one_flipped_bit_is_found(package, name):
    path = package.directory / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(PackageError, match=f"{name} is damaged"):
        ModelPackage.open(package.directory)
    ModelPackage.open(package.directory, verify=False)


def test_a_lazily_opened_package_checks_the_files_that_it_uses(package):
    def damage(name):
        path = package.directory / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    damage("weights.safetensors")
    assert Predictor.load(ModelPackage.open_lazily(package.directory)).engine == "onnxruntime"
    with pytest.raises(PackageError, match=r"weights\.safetensors is damaged"):
        ModelPackage.open_lazily(package.directory).file("weights.safetensors")
    for name in ("encoders/image/encoder.json", "task/state.json", "model.onnx"):
        damage(name)
        with pytest.raises(PackageError, match=f"{name} is damaged"):
            Predictor.load(ModelPackage.open_lazily(package.directory))


def test_served_bytes_exclude_weights_that_are_not_served(package, tmp_path):
    sizes = {file.path: file.bytes for file in package.manifest.files}
    assert sum(package.served_bytes.values()) == sum(sizes.values()) - sizes["weights.safetensors"]
    by_weights = image_models.package(tmp_path / "weights", graph=False)
    assert sum(by_weights.served_bytes.values()) == sum(file.bytes for file in by_weights.manifest.files)


@pytest.mark.parametrize("verify", [True, False])
def test_a_short_file_is_found_even_unverified(package, verify):
    path = package.directory / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(PackageError, match=r"weights\.safetensors is damaged"):
        ModelPackage.open(package.directory, verify=verify)


def test_a_missing_file_is_named(package):
    (package.directory / "model.onnx").unlink()

    with pytest.raises(PackageError, match=r"model\.onnx is missing"):
        ModelPackage.open(package.directory)


def test_a_folder_without_a_manifest_is_no_package(tmp_path):
    with pytest.raises(PackageError, match=r"is not a model package: it has no manifest\.json"):
        ModelPackage.open(tmp_path)


def test_a_newer_format_says_so(package):
    rewrite(package, format_version=3, something="else")

    with pytest.raises(PackageError, match="format version 3; this release reads versions up to 2") as caught:
        ModelPackage.open(package.directory)
    assert caught.value.hint == "Update Plinth."


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"format_version": "x"}', "[" * 100_000])
def test_a_damaged_manifest_is_a_package_error(package, content):
    (package.directory / "manifest.json").write_text(content)

    with pytest.raises(PackageError, match=r"manifest\.json"):
        ModelPackage.open(package.directory)


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "a/../../outside", "..\\outside", ""])
def test_a_file_outside_of_the_package_is_refused(package, path):
    outside = package.directory.parent / "outside"
    outside.write_text("secret")
    file = {"path": path, "bytes": outside.stat().st_size, "sha256": digest(outside)}
    rewrite(package, files=[*json.loads(package.manifest.model_dump_json())["files"], file])

    with pytest.raises(PackageError, match="outside of the package"):
        ModelPackage.open(package.directory)


def test_a_link_out_of_the_package_is_refused(package):
    path = package.directory / "model.onnx"
    outside = path.rename(package.directory.parent / "outside.onnx")
    path.symlink_to(outside)

    with pytest.raises(PackageError, match=r"model\.onnx is missing"):
        ModelPackage.open(package.directory)


@pytest.mark.parametrize("path", ["task/state.json", "encoders/image/encoder.json"])
def test_a_file_that_the_manifest_does_not_list_is_not_read(package, path):
    files = [file.model_dump() for file in package.manifest.files if file.path != path]
    rewrite(package, files=files)

    opened = ModelPackage.open(package.directory)

    with pytest.raises(PackageError, match=f"has no file '{path}'"):
        opened.task()


def test_weights_must_be_among_the_files(package):
    rewrite(package, files=[])

    with pytest.raises(PackageError, match=r"has no file 'weights\.safetensors'"):
        ModelPackage.open(package.directory)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", MAX_WEIGHTS_HEADER_BYTES + 1) + b" " * (MAX_WEIGHTS_HEADER_BYTES + 8),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 5) + b"\xff\xfe\x00{]",
    ],
    ids=["empty", "absurd", "over-the-cap", "no-object", "no-json"],
)
def test_weights_with_an_impossible_header_are_refused(package, content):
    path = package.directory / "weights.safetensors"
    path.write_bytes(content)
    files = [file.model_dump() for file in package.manifest.files if file.path != "weights.safetensors"]
    rewrite(package, files=[*files, {"path": path.name, "bytes": len(content), "sha256": digest(path)}])

    with pytest.raises(PackageError, match=r"weights\.safetensors"):
        ModelPackage.open(package.directory)


@pytest.mark.parametrize("field", ["task", "encoders"])
def test_an_unknown_task_or_encoder_is_named(package, field):
    rewrite(package, **({"task": "telepathy"} if field == "task" else {"encoders": {"image": "telepathy"}}))

    with pytest.raises(PackageError, match=r"named 'telepathy'") as caught:
        ModelPackage.open(package.directory).task()
    assert "Update Plinth" in (caught.value.hint or "")


@pytest.mark.parametrize("state", ["[]", "3", "{", ""])
def test_a_damaged_state_is_a_package_error(package, state):
    path = package.directory / "task" / "state.json"
    path.write_text(state)
    files = [file.model_dump() for file in package.manifest.files if file.path != "task/state.json"]
    rewrite(package, files=[*files, {"path": "task/state.json", "bytes": len(state), "sha256": digest(path)}])

    with pytest.raises(PackageError, match="the state of the task image_classification"):
        ModelPackage.open(package.directory).task()


def test_a_package_that_cannot_be_finished_leaves_nothing(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"x")
    manifest = Manifest(architectures={"image": Choice(name="cnn")}, parameters=1)
    files = {"weights.safetensors": weights, "model.onnx": tmp_path / "not there"}

    with pytest.raises(FileNotFoundError):
        ModelPackage.create(tmp_path / "package", manifest, files=files, encoders={"image": image_models.encoder()})

    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_existing_package_is_never_written_over(package):
    before = {path: path.read_bytes() for path in package.directory.rglob("*") if path.is_file()}
    (package.directory.parent / "weights.safetensors").write_bytes(b"other")

    with pytest.raises(OSError, match=r"not empty|exists"):
        ModelPackage.create(
            package.directory,
            package.manifest,
            files={"weights.safetensors": package.directory.parent / "weights.safetensors"},
            encoders={},
        )

    assert {path: path.read_bytes() for path in package.directory.rglob("*") if path.is_file()} == before
    assert list(package.directory.parent.iterdir()) == [package.directory]


def test_the_same_content_makes_the_same_package(tmp_path):
    first, second = (image_models.package(tmp_path / name) for name in ("first", "second"))

    assert first.manifest == second.manifest
    assert digest(first.directory / "manifest.json") == digest(second.directory / "manifest.json")


def test_weights_are_readable_by_anyone(package):
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(
        load_file(package.directory / "weights.safetensors")["weights"], image_models.weights()
    )


def test_served_packages_share_encoders_with_equal_files(package, tmp_path):
    again = image_models.package(tmp_path / "again")
    first, second = (ModelPackage.open_lazily(copy.directory).encoders() for copy in (package, again))
    assert first["image"] is second["image"]
    assert package.encoders()["image"] is not first["image"], "training may change its encoders"
