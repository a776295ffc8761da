"""The member names of an archive are checked before anything is extracted."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from ml.errors import PackageError
from ml.learning.interchange.importer import import_model
from ml.learning.interchange.model_archive import PICKLE_SUFFIXES, ModelArchive


def zip_files(path: Path, *names: str, content: bytes = b"{}") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def test_paths_are_relative_to_the_folder_of_the_model(tmp_path: Path) -> None:
    names = ("all/MiniLM/config.json", "all/MiniLM/1_Pooling/config.json", "all/MiniLM/README.md", "all/.git/config")
    archive = ModelArchive.open(zip_files(tmp_path / "model.zip", *names))
    assert archive.names == {"config.json", "1_Pooling/config.json", "README.md"}
    archive.extract(["1_Pooling/config.json"], tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").rglob("*")] == ["1_Pooling", "config.json"]


@pytest.mark.parametrize("suffix", sorted(PICKLE_SUFFIXES))
def test_a_pickle_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    archive = zip_files(tmp_path / "model.zip", "config.json", "model.safetensors", f"old/weights{suffix.upper()}")
    with pytest.raises(PackageError, match="pickles") as error_info:
        import_model(archive, tmp_path / "package")
    assert f"old/weights{suffix.upper()}" in error_info.value.message
    assert "safetensors" in (error_info.value.hint or "")
    assert not (tmp_path / "package").exists()


def test_a_pytorch_file_is_refused_as_an_archive_with_a_pickle(tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    with pytest.raises(PackageError, match=r"data\.pkl"):
        import_model(tmp_path / "model.pt", tmp_path / "package")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../../etc/cron.d/plinth", "archive_unsafe_name"),
        ("/etc/passwd", "archive_unsafe_name"),
        ("C:\\weights.safetensors", "archive_unsafe_name"),
        ("inner.zip", "archive_nested"),
        ("inner.tar.gz", "archive_nested"),
        ("/".join("abcdefghij") + "/config.json", "archive_too_deep"),
    ],
)
def test_an_unsafe_member_name_is_refused(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(PackageError, match=code) as error_info:
        import_model(zip_files(tmp_path / "model.zip", "config.json", name), tmp_path / "package")
    assert name.replace("\\", "/").rpartition("/")[2] in error_info.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("model.safetensors")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr(link, "/etc/shadow")
    with pytest.raises(PackageError, match="archive_link"):
        import_model(tmp_path / "model.zip", tmp_path / "package")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = zip_files(tmp_path / "model.zip", "config.json")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="archive_encrypted"):
        import_model(path, tmp_path / "package")


def test_a_zip_bomb_is_refused_before_extraction(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.safetensors", bytes(64 << 20))
    with pytest.raises(PackageError, match="archive_bomb"):
        import_model(tmp_path / "model.zip", tmp_path / "package")


def test_a_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = zip_files(tmp_path / "model.zip", "config.json", content=b'{"model_type": "bert"}')
    content = bytearray(path.read_bytes())
    content[content.index(b"bert")] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="damaged_file"):
        import_model(path, tmp_path / "package")


def test_two_models_in_one_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="several models: one, two"):
        ModelArchive.open(zip_files(tmp_path / "models.zip", "one/config.json", "two/config.json"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04\x95pickle", b"PK\x03\x04 cut off"])
def test_a_file_that_is_not_a_model_is_refused_with_what_was_expected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(PackageError):
        import_model(tmp_path / "model.bin", tmp_path / "package")
    with pytest.raises(PackageError, match="neither") as error_info:
        import_model(zip_files(tmp_path / "model.zip", "README.md"), tmp_path / "package")
    assert "config.json" in (error_info.value.hint or "")


def zip_config(tmp_path: Path, config: str, **files: bytes) -> Path:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("config.json", config)
        for name, content in files.items():
            archive.writestr(name.replace("_dot_", "."), content)
    return tmp_path / "model.zip"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("[1]", "not a JSON object"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"model_type": "resnet", "auto_map": {"AutoModel": "modeling.Mine"}}', "auto_map"),
        ('{"model_type": "resnet", "quantization_config": {"bits": 4}}', "quantized"),
        ('{"model_type": "mamba"}', "known: .*resnet"),
        ('{"model_type": ["resnet"]}', "not supported"),
        ('{"model_type": "resnet"}', "no weights"),
    ],
)
def test_an_unsupported_config_is_refused(tmp_path: Path, config: str, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        import_model(zip_config(tmp_path, config), tmp_path / "package")


def test_an_index_may_list_files_of_the_archive_only(tmp_path: Path) -> None:
    index = b'{"weight_map": {"a": "model-1.safetensors", "b": "../../secret.safetensors"}}'
    archive = zip_config(tmp_path, '{"model_type": "resnet"}', **{"model.safetensors.index.json": index})
    with pytest.raises(PackageError, match=r"not in the archive: \.\./\.\./secret"):
        import_model(archive, tmp_path / "package")


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 64) + b'{"x":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}   ',
        io.BytesIO(b"\x80\x04K\x01.").read(),
    ],
)
def test_invalid_weights_are_refused(tmp_path: Path, weights: bytes) -> None:
    archive = zip_config(tmp_path, '{"model_type": "resnet"}', **{"model.safetensors": weights})
    with pytest.raises(PackageError):
        import_model(archive, tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    "names",
    [
        ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json"),
        ("lora/adapter_config.json", "lora/adapter_model.bin"),
        ("adapter_config.json", "adapter_model.safetensors", "config.json"),
        ("pytorch_lora_weights.safetensors",),
    ],
)
def test_an_adapter_is_refused_with_the_way_to_merge_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(PackageError, match="adapter") as error_info:
        import_model(zip_files(tmp_path / "model.zip", *names), tmp_path / "package")
    assert "merge_and_unload" in (error_info.value.hint or "")


def test_a_model_with_an_adapter_in_a_folder_below_is_opened(tmp_path: Path) -> None:
    names = ("config.json", "model.safetensors", "checkpoint-5/adapter_config.json")
    assert ModelArchive.open(zip_files(tmp_path / "model.zip", *names)).names == set(names)
