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


def _saved(folder: Path, step: int, run: str = "a") -> Path:
    return save(folder / f"step-{step}", tensors=TENSORS, state={"run_fingerprint": run, "step": step})


def test_what_was_saved_comes_back_with_its_names_and_bits(tmp_path: Path) -> None:
    found = load(_saved(tmp_path, 7))
    assert found.state == {"run_fingerprint": "a", "step": 7}
    assert set(found.tensors) == set(TENSORS)
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
    assert set(found.under("best")) == {"weight"}


def test_tensors_laid_out_otherwise_keep_their_values(tmp_path: Path) -> None:
    image = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    found = load(save(tmp_path / "one", tensors={"image": image}, state={"step": 0}))
    assert torch.equal(found.tensors["image"], image)


@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE])
def test_one_changed_byte_is_noticed(tmp_path: Path, file: str) -> None:
    path = _saved(tmp_path, 1) / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="damaged"):
        load(path.parent)


@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.STATE, checkpoint.MANIFEST])
def test_a_missing_file_is_noticed(tmp_path: Path, file: str) -> None:
    directory = _saved(tmp_path, 1)
    (directory / file).unlink()
    with pytest.raises(PackageError):
        load(directory)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    manifest = _saved(tmp_path, 1) / checkpoint.MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    with pytest.raises(PackageError, match="format version 99"):
        load(manifest.parent)


def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in (5, 10):
        newest = kept.save(step, tensors=TENSORS, state={"run_fingerprint": "a", "step": step})
    (newest / checkpoint.TENSORS).write_bytes(b"not what it was")
    found, passed_over = kept.newest({"a"})
    assert found is not None
    assert found.state["step"] == 5
    assert len(passed_over) == 1
    assert "damaged" in passed_over[0]


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3, 4):
        kept.save(step, tensors=TENSORS, state={"run_fingerprint": "a", "step": step})
    assert sorted(path.name for path in kept.own.iterdir()) == ["step-000000003", "step-000000004"]


def test_what_a_supervisor_brings_is_found_as_a_folder_or_as_several(tmp_path: Path) -> None:
    shutil.copytree(_saved(tmp_path / "elsewhere", 3), RunFolder(tmp_path / "one").fetched_checkpoints)
    fetched = RunFolder(tmp_path / "several").fetched_checkpoints
    fetched.mkdir(parents=True)
    (fetched / "any-name").symlink_to(_saved(tmp_path / "elsewhere", 4))
    steps = [Checkpoints(tmp_path / name).newest({"a"})[0] for name in ("one", "several")]
    assert [found.state["step"] for found in steps if found] == [3, 4]


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, tensors=TENSORS, state={"run_fingerprint": "another", "step": 1})
    found, passed_over = Checkpoints(tmp_path).newest({"a"})
    assert found is None
    assert "another run" in passed_over[0]


def test_a_save_that_fails_leaves_nothing_and_harms_nothing(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(1, tensors=TENSORS, state={"run_fingerprint": "a", "step": 1})
    with pytest.raises(TypeError):
        kept.save(2, tensors=TENSORS, state={"run_fingerprint": "a", "step": 2, "unwritable": object()})
    assert [path.name for path in kept.own.iterdir()] == ["step-000000001"]
    found, _ = kept.newest({"a"})
    assert found is not None
    assert found.state["step"] == 1
