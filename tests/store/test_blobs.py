"""Blobs in a folder and in S3: complete or absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from store.blobs import Blobs
from store.blobs.local import LocalBlobs
from store.blobs.s3 import PARALLEL_DOWNLOADS, S3Blobs
from store.errors import DamagedBlob, NotFound, StorageFull, StorageUnavailable
from tests.support.servers import NetworkProxy, S3Server

#: More than one part of a multipart upload.
PART = 9 << 20


@pytest.fixture(autouse=True)
def access(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3Server.ACCESS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return LocalBlobs(tmp_path / "blobs")
    s3: S3Server = request.getfixturevalue("s3")
    return S3Blobs(s3.bucket(), prefix="a/prefix", endpoint_url=s3.url)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "encoders" / "image").mkdir(parents=True)
    (folder / "encoders" / "image" / "encoder.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(os.urandom(PART))
    (folder / "empty").touch()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tree_is_published_and_fetched_unchanged(storage: Blobs, tree: Path, tmp_path: Path) -> None:
    assert not storage.exists("models/m")
    storage.put_tree("models/m", tree)
    assert storage.exists("models/m")
    assert contents(storage.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    assert sorted(storage.keys("models")) == [f"models/m/{name}" for name in sorted(contents(tree))]
    with storage.open("models/m/encoders/image/encoder.json") as stream:
        assert stream.read() == b"{}"
        assert stream.seek(0, os.SEEK_END) == 2
        stream.seek(1)
        assert stream.read() == b"}"


def test_publishing_an_existing_key_changes_nothing(storage: Blobs, tree: Path, tmp_path: Path) -> None:
    storage.put_tree("models/m", tree)
    (tree / "later").write_text("not published")
    storage.put_tree("models/m", tree)
    assert "later" not in contents(storage.fetch_tree("models/m", tmp_path / "fetched"))


@pytest.mark.parametrize("is_published", [False, True])
def test_a_moved_tree_is_published_and_gone_from_its_folder(
    storage: Blobs, tree: Path, tmp_path: Path, is_published: bool
) -> None:
    expected = contents(tree)
    if is_published:
        storage.put_tree("models/m", tree)
    storage.put_tree("models/m", tree, move=True)
    assert not tree.exists()
    assert contents(storage.fetch_tree("models/m", tmp_path / "fetched")) == expected


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


def test_some_files_of_a_tree_are_fetched_and_more_later(storage: Blobs, tree: Path, tmp_path: Path) -> None:
    def fetch(*names: str) -> dict[str, bytes]:
        folder = storage.fetch_files("models/m", names, tmp_path / "fetched", common=tmp_path / "common")
        return {name: (folder / name).read_bytes() for name in names}

    with pytest.raises(NotFound):
        fetch("empty")
    storage.put_tree("models/m", tree)
    for names in (["empty"], ["empty", "encoders/image/encoder.json"]):
        assert fetch(*names) == {name: contents(tree)[name] for name in names}
    if isinstance(storage, S3Blobs):
        assert contents(tmp_path / "fetched").keys() == {"empty", "encoders/image/encoder.json"}
    assert fetch(*contents(tree)) == contents(tree)


@pytest.mark.parametrize("move", [False, True])
def test_a_file_is_published_and_fetched_unchanged(storage: Blobs, tmp_path: Path, move: bool) -> None:
    path = tmp_path / "upload"
    content = os.urandom(PART)
    path.write_bytes(content)
    storage.put_file("uploads/u/digits.csv", path, move=move)
    assert path.exists() != move
    assert storage.fetch_file("uploads/u/digits.csv", tmp_path / "f" / "fetched").read_bytes() == content
    with storage.open("uploads/u/digits.csv") as stream:
        assert stream.read(5) + stream.read() == content


def test_deleting_twice_is_not_an_error(storage: Blobs, tree: Path, tmp_path: Path) -> None:
    storage.put_tree("models/m", tree)
    storage.put_file("uploads/u/a", tree / "empty")
    for key in ("models/m", "uploads/u/a"):
        storage.delete(key)
        storage.delete(key)
        assert not storage.exists(key)
    assert list(storage.keys("models")) == []
    with pytest.raises(NotFound):
        storage.fetch_tree("models/m", tmp_path / "fetched")
    with pytest.raises(NotFound):
        storage.fetch_file("uploads/u/a", tmp_path / "file")
    with pytest.raises(NotFound):
        storage.open("uploads/u/a")


@pytest.mark.parametrize("key", ["../evil", "/etc/passwd", "a/../../b", "", "a//b", "a\\b", "a/\0", ".", "a/."])
def test_no_key_leads_out_of_the_storage(storage: Blobs, tree: Path, tmp_path: Path, key: str) -> None:
    for use in (
        lambda: storage.put_tree(key, tree),
        lambda: storage.put_file(key, tree / "empty"),
        lambda: storage.fetch_tree(key, tmp_path / "x"),
        lambda: storage.fetch_files(key, ["empty"], tmp_path / "x", common=tmp_path / "common"),
        lambda: storage.open(key),
        lambda: storage.delete(key),
    ):
        with pytest.raises(ValueError, match="not a blob key"):
            use()


def test_a_symbolic_link_is_not_published(storage: Blobs, tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="link"):
        storage.put_tree("models/m", tree)
    assert not storage.exists("models/m")


def test_a_check_returns_the_location(storage: Blobs) -> None:
    assert storage.check()
    assert list(storage.keys("models")) == []


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


def test_a_cut_connection_publishes_nothing_and_the_next_attempt_everything(
    s3: S3Server, tree: Path, tmp_path: Path
) -> None:
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        storage = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}", retry_seconds=1)
        proxy.cut_after_bytes = 1 << 20
        with pytest.raises(StorageUnavailable):
            storage.put_tree("models/m", tree)
        proxy.cut_after_bytes = None
        assert not storage.exists("models/m")
        with pytest.raises(NotFound):
            storage.fetch_tree("models/m", tmp_path / "fetched")
        storage.put_tree("models/m", tree)
        assert contents(storage.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    finally:
        proxy.stop()


def test_a_connection_that_breaks_for_a_moment_is_not_an_error(s3: S3Server, tree: Path) -> None:
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        storage = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}")
        assert storage.check()
        proxy.reset()
        storage.put_tree("models/m", tree)
        assert storage.exists("models/m")
    finally:
        proxy.stop()


def test_a_damaged_object_is_an_error(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    bucket = s3.bucket()
    storage = S3Blobs(bucket, endpoint_url=s3.url)
    storage.put_tree("models/m", tree)
    metadata = s3.client().head_object(Bucket=bucket, Key="models/m/weights.safetensors")["Metadata"]
    s3.client().put_object(Bucket=bucket, Key="models/m/weights.safetensors", Body=b"damaged", Metadata=metadata)
    with pytest.raises(DamagedBlob, match="checksum"):
        storage.fetch_tree("models/m", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    with pytest.raises(DamagedBlob, match="checksum"):
        storage.fetch_files("models/m", contents(tree), tmp_path / "fetched", common=tmp_path / "common")
    assert "weights.safetensors" not in contents(tmp_path / "fetched")


def test_a_fetched_tree_is_used_as_it_is(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    storage = S3Blobs(s3.bucket(), endpoint_url=s3.url)
    storage.put_tree("models/m", tree)
    storage.fetch_tree("models/m", tmp_path / "fetched")
    storage.delete("models/m")
    assert contents(storage.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    shutil.rmtree(tmp_path / "fetched")


def test_files_in_common_are_fetched_once(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    bucket = s3.bucket()
    storage = S3Blobs(bucket, endpoint_url=s3.url)
    storage.put_tree("models/one", tree)
    (tree / "encoders" / "image" / "encoder.json").write_text('{"another": true}')
    storage.put_tree("models/second", tree)
    one = storage.fetch_files("models/one", contents(tree), tmp_path / "one", common=tmp_path / "common")
    metadata = s3.client().head_object(Bucket=bucket, Key="models/second/weights.safetensors")["Metadata"]
    s3.client().put_object(Bucket=bucket, Key="models/second/weights.safetensors", Body=b"not read", Metadata=metadata)
    second = storage.fetch_files("models/second", contents(tree), tmp_path / "second", common=tmp_path / "common")
    assert contents(second) == contents(tree)
    assert (one / "weights.safetensors").samefile(second / "weights.safetensors")
    assert not (one / "encoders/image/encoder.json").samefile(second / "encoders/image/encoder.json")


def test_a_damaged_file_in_common_is_fetched_again(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    storage = S3Blobs(s3.bucket(), endpoint_url=s3.url)
    storage.put_tree("models/m", tree)
    fetched, common = tmp_path / "fetched", tmp_path / "common"
    storage.fetch_files("models/m", contents(tree), fetched, common=common)
    (fetched / "weights.safetensors").write_bytes(b"damaged, here and in common")
    assert storage.forget(fetched)
    assert not storage.forget(fetched)
    assert contents(storage.fetch_files("models/m", contents(tree), fetched, common=common)) == contents(tree)


def test_forgetting_a_published_folder_deletes_nothing(tree: Path, tmp_path: Path) -> None:
    storage = LocalBlobs(tmp_path / "blobs")
    storage.put_tree("models/m", tree)
    assert not storage.forget(storage.fetch_tree("models/m", tmp_path / "fetched"))
    assert storage.exists("models/m")


def test_files_of_a_tree_are_fetched_in_parallel(s3: S3Server, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / str(number)).write_text(str(number))
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        storage = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}")
        storage.put_tree("models/m", tree)
        proxy.reset()
        proxy.freezes = True
        with ThreadPoolExecutor() as pool:
            fetching = pool.submit(
                storage.fetch_files, "models/m", contents(tree), tmp_path / "fetched", common=tmp_path / "common"
            )
            deadline = time.monotonic() + 10
            while proxy.connections < PARALLEL_DOWNLOADS and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            connections = proxy.connections
            proxy.freezes = False
            assert contents(fetching.result(20)) == contents(tree)
        assert connections == PARALLEL_DOWNLOADS
    finally:
        proxy.stop()


def test_every_method_of_an_unreachable_storage_raises_an_error(tree: Path, tmp_path: Path) -> None:
    storage = S3Blobs("bucket", endpoint_url="http://127.0.0.1:9", retry_seconds=0)
    for use in (
        lambda: storage.put_tree("models/m", tree),
        lambda: storage.put_file("uploads/u/a", tree / "empty"),
        lambda: storage.fetch_tree("models/m", tmp_path / "x"),
        lambda: storage.fetch_files("models/m", ["empty"], tmp_path / "x", common=tmp_path / "common"),
        lambda: storage.open("models/m/empty"),
        lambda: storage.exists("models/m"),
        lambda: storage.delete("models/m"),
        lambda: list(storage.keys("models")),
        storage.check,
    ):
        with pytest.raises(StorageUnavailable):
            use()
