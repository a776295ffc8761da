"""Blobs in a folder: moves within and across disks, crashes, full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from store.blobs.local import LocalBlobs
from store.errors import StorageFull
from tests.store.blobs.conftest import PART, contents


def test_a_moved_tree_is_not_written_again_on_one_disk(tree: Path, tmp_path: Path) -> None:
    inode = (tree / "weights.safetensors").stat().st_ino
    storage = LocalBlobs(tmp_path / "blobs")
    storage.put_tree("models/m", tree, move=True)
    published = storage.fetch_tree("models/m", tmp_path / "fetched")
    assert (published / "weights.safetensors").stat().st_ino == inode


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_tree_is_moved_across_file_systems(tree: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        if Path(folder).stat().st_dev == tree.stat().st_dev:
            pytest.skip("the temporary folder is on the same file system")
        expected = contents(tree)
        storage = LocalBlobs(Path(folder) / "blobs")
        storage.put_tree("models/m", tree, move=True)
        assert not tree.exists()
        assert contents(storage.fetch_tree("models/m", tree)) == expected


MOVER = """
import sys
from pathlib import Path
from store.blobs.local import LocalBlobs
storage, folder = LocalBlobs(sys.argv[1]), Path(sys.argv[2])
for number in range(1_000_000):
    tree = folder / str(number)
    tree.mkdir()
    for name in ("a", "b", "c"):
        (tree / name).write_text(str(number))
    print(number, flush=True)
    storage.put_tree(f"models/{number}", tree, move=True)
"""


@pytest.mark.parametrize("moves", range(1, 6))
def test_a_process_killed_while_it_moves_a_tree_loses_nothing(tmp_path: Path, moves: int) -> None:
    (tmp_path / "work").mkdir()
    command = [sys.executable, "-c", MOVER, str(tmp_path / "blobs"), str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(3 * moves)]
        time.sleep(moves / 5000)  # Another moment of the move in every test.
        process.kill()
        written += map(int, process.stdout.read().split())
    for number in written:
        storages = [tmp_path / "work" / str(number), tmp_path / "blobs" / "models" / str(number)]
        [tree] = [storage for storage in storages if storage.exists()]
        assert contents(tree) == {name: str(number).encode() for name in "abc"}


def test_with_too_little_space_nothing_is_published_and_nothing_is_lost(tree: Path, tmp_path: Path) -> None:
    storage = LocalBlobs(tmp_path / "blobs", free_space_floor_bytes=1 << 60)
    with pytest.raises(StorageFull):
        storage.put_tree("models/m", tree)
    with pytest.raises(StorageFull):
        storage.put_file("uploads/u/a", tree / "empty")
    assert not storage.exists("models/m")
    assert contents(tree)


def test_a_disk_that_fills_up_leaves_nothing_half_published(tree: Path, tmp_path: Path) -> None:
    storage = LocalBlobs(tmp_path / "blobs")
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (PART // 2, PART // 2))
        try:
            storage.put_tree("models/m", tree)
        except StorageFull:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert not storage.exists("models/m")
    assert list((tmp_path / "blobs" / ".staging").iterdir()) == []
    storage.put_tree("models/m", tree)
    assert storage.exists("models/m")


def test_forgetting_a_published_folder_deletes_nothing(tree: Path, tmp_path: Path) -> None:
    storage = LocalBlobs(tmp_path / "blobs")
    storage.put_tree("models/m", tree)
    assert not storage.forget(storage.fetch_tree("models/m", tmp_path / "fetched"))
    assert storage.exists("models/m")
