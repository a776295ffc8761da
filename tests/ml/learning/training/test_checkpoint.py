import json
import shutil
from pathlib import Path

import pytest
import torch

from ml.errors import PackageError
from ml.learning.training import checkpoint
from ml.learning.training.checkpoint import Checkpoints, load, save
from ml.learning.training.run_folder import RunFolder

TENSORS = {
    "objective.weight": torch.arange(6.0).view(2, 3),
    "best.weight": torch.ones(2),
    "rng.torch": torch.get_rng_state(),
}


def _save(folder: Path, step: int, run: str = "a") -> Path:
    return save(folder / f"step-{step}", tensors=TENSORS, state={"run_fingerprint": run, "step": step})


def test_saved_tensors_are_loaded_with_their_names_and_bits(tmp_path: Path) -> None:
    loaded = load(_save(tmp_path, 7))
    assert loaded.state == {"run_fingerprint": "a", "step": 7}
    assert set(loaded.tensors) == set(TENSORS)
    assert all(torch.equal(loaded.tensors[name], TENSORS[name]) for name in TENSORS)
    assert set(loaded.tensors_under("best")) == {"weight"}


def test_tensors_in_another_memory_layout_keep_their_values(tmp_path: Path) -> None:
    image = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    loaded = load(save(tmp_path / "one", tensors={"image": image}, state={"step": 0}))
    assert torch.equal(loaded.tensors["image"], image)


@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE])
def test_one_changed_byte_is_noticed(tmp_path: Path, file: str) -> None:
    path = _save(tmp_path, 1) / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="damaged"):
        load(path.parent)


@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE, checkpoint.MANIFEST])
def test_a_missing_file_is_noticed(tmp_path: Path, file: str) -> None:
    directory = _save(tmp_path, 1)
    (directory / file).unlink()
    with pytest.raises(PackageError):
        load(directory)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    manifest = _save(tmp_path, 1) / checkpoint.MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    with pytest.raises(PackageError, match="format version 99"):
        load(manifest.parent)


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10):
        newest = checkpoints.save(step, tensors=TENSORS, state={"run_fingerprint": "a", "step": step})
    (newest / checkpoint.TENSORS).write_bytes(b"not what it was")
    loaded, skipped = checkpoints.load_newest({"a"})
    assert loaded is not None
    assert loaded.state["step"] == 5
    assert len(skipped) == 1
    assert "damaged" in skipped[0]


def test_only_the_last_two_are_retained(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, tensors=TENSORS, state={"run_fingerprint": "a", "step": step})
    assert sorted(path.name for path in checkpoints.own.iterdir()) == ["step-000000003", "step-000000004"]


def test_fetched_checkpoints_are_one_folder_or_several(tmp_path: Path) -> None:
    shutil.copytree(_save(tmp_path / "elsewhere", 3), RunFolder(tmp_path / "one").fetched_checkpoints)
    fetched = RunFolder(tmp_path / "several").fetched_checkpoints
    fetched.mkdir(parents=True)
    (fetched / "any-name").symlink_to(_save(tmp_path / "elsewhere", 4))
    newest = [Checkpoints(tmp_path / name).load_newest({"a"})[0] for name in ("one", "several")]
    assert [loaded.state["step"] for loaded in newest if loaded] == [3, 4]


def test_a_checkpoint_of_another_run_is_skipped(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, tensors=TENSORS, state={"run_fingerprint": "another", "step": 1})
    loaded, skipped = Checkpoints(tmp_path).load_newest({"a"})
    assert loaded is None
    assert "another run" in skipped[0]


def test_a_save_that_fails_leaves_nothing_and_harms_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tensors=TENSORS, state={"run_fingerprint": "a", "step": 1})
    with pytest.raises(TypeError):
        checkpoints.save(2, tensors=TENSORS, state={"run_fingerprint": "a", "step": 2, "unwritable": object()})
    assert [path.name for path in checkpoints.own.iterdir()] == ["step-000000001"]
    loaded, _ = checkpoints.load_newest({"a"})
    assert loaded is not None
    assert loaded.state["step"] == 1
