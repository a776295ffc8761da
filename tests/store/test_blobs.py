"""The same promises of a folder and of S3: whole or not at all."""

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

PART = 9 << 20
"""More than one part of a multipart upload."""


@pytest.fixture(autouse=True)
def access(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3Server.ACCESS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
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


def test_a_tree_comes_back_as_it_was(place: Blobs, tree: Path, tmp_path: Path) -> None:
    assert not place.exists("models/m")
    place.put_tree("models/m", tree)
    assert place.exists("models/m")
    assert contents(place.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    assert sorted(place.keys("models")) == [f"models/m/{name}" for name in sorted(contents(tree))]
    with place.open("models/m/encoders/image/encoder.json") as stream:
        assert stream.read() == b"{}"


def test_publishing_the_same_key_again_changes_nothing(place: Blobs, tree: Path, tmp_path: Path) -> None:
    place.put_tree("models/m", tree)
    (tree / "later").write_text("not published")
    place.put_tree("models/m", tree)
    assert "later" not in contents(place.fetch_tree("models/m", tmp_path / "fetched"))


@pytest.mark.parametrize("is_published", [False, True])
def test_a_tree_that_is_moved_is_published_and_gone(
    place: Blobs, tree: Path, tmp_path: Path, is_published: bool
) -> None:
    expected = contents(tree)
    if is_published:
        place.put_tree("models/m", tree)
    place.put_tree("models/m", tree, move=True)
    assert not tree.exists()
    assert contents(place.fetch_tree("models/m", tmp_path / "fetched")) == expected


def test_a_moved_tree_is_not_written_again_on_one_disk(tree: Path, tmp_path: Path) -> None:
    inode = (tree / "weights.safetensors").stat().st_ino
    place = LocalBlobs(tmp_path / "blobs")
    place.put_tree("models/m", tree, move=True)
    published = place.fetch_tree("models/m", tmp_path / "fetched")
    assert (published / "weights.safetensors").stat().st_ino == inode


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_tree_is_moved_across_file_systems(tree: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        if Path(folder).stat().st_dev == tree.stat().st_dev:
            pytest.skip("the temporary folder is on the same file system")
        expected = contents(tree)
        place = LocalBlobs(Path(folder) / "blobs")
        place.put_tree("models/m", tree, move=True)
        assert not tree.exists()
        assert contents(place.fetch_tree("models/m", tree)) == expected


MOVER = """
import sys
from pathlib import Path
from store.blobs.local import LocalBlobs
place, folder = LocalBlobs(sys.argv[1]), Path(sys.argv[2])
for number in range(1_000_000):
    tree = folder / str(number)
    tree.mkdir()
    for name in ("a", "b", "c"):
        (tree / name).write_text(str(number))
    print(number, flush=True)
    place.put_tree(f"models/{number}", tree, move=True)
"""


@pytest.mark.parametrize("moves", range(1, 6))
def test_a_process_killed_while_it_moves_a_tree_loses_nothing(tmp_path: Path, moves: int) -> None:
    (tmp_path / "work").mkdir()
    command = [sys.executable, "-c", MOVER, str(tmp_path / "blobs"), str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(3 * moves)]
        time.sleep(moves / 5000)  # A different moment of the move each time.
        process.kill()
        written += map(int, process.stdout.read().split())
    for number in written:
        places = [tmp_path / "work" / str(number), tmp_path / "blobs" / "models" / str(number)]
        [tree] = [place for place in places if place.exists()]
        assert contents(tree) == {name: str(number).encode() for name in "abc"}


def test_of_a_tree_some_files_can_be_had_and_more_later(place: Blobs, tree: Path, tmp_path: Path) -> None:
    def fetched(*names: str) -> dict[str, bytes]:
        found = place.fetch_files("models/m", names, tmp_path / "fetched", common=tmp_path / "common")
        return {name: (found / name).read_bytes() for name in names}

    with pytest.raises(NotFound):
        fetched("empty")
    place.put_tree("models/m", tree)
    for names in (["empty"], ["empty", "encoders/image/encoder.json"]):
        assert fetched(*names) == {name: contents(tree)[name] for name in names}
    if isinstance(place, S3Blobs):
        assert contents(tmp_path / "fetched").keys() == {"empty", "encoders/image/encoder.json"}
    assert fetched(*contents(tree)) == contents(tree)


@pytest.mark.parametrize("move", [False, True])
def test_a_file_comes_back_as_it_was(place: Blobs, tmp_path: Path, move: bool) -> None:
    path = tmp_path / "upload"
    content = os.urandom(PART)
    path.write_bytes(content)
    place.put_file("uploads/u/digits.csv", path, move=move)
    assert path.exists() != move
    assert place.fetch_file("uploads/u/digits.csv", tmp_path / "f" / "fetched").read_bytes() == content
    with place.open("uploads/u/digits.csv") as stream:
        assert stream.read(5) + stream.read() == content


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(place: Blobs, tree: Path, tmp_path: Path) -> None:
    place.put_tree("models/m", tree)
    place.put_file("uploads/u/a", tree / "empty")
    for key in ("models/m", "uploads/u/a"):
        place.delete(key)
        place.delete(key)
        assert not place.exists(key)
    assert list(place.keys("models")) == []
    with pytest.raises(NotFound):
        place.fetch_tree("models/m", tmp_path / "fetched")
    with pytest.raises(NotFound):
        place.fetch_file("uploads/u/a", tmp_path / "file")
    with pytest.raises(NotFound):
        place.open("uploads/u/a")


@pytest.mark.parametrize("key", ["../evil", "/etc/passwd", "a/../../b", "", "a//b", "a\\b", "a/\0", ".", "a/."])
def test_no_key_leads_out_of_the_place(place: Blobs, tree: Path, tmp_path: Path, key: str) -> None:
    for use in (
        lambda: place.put_tree(key, tree),
        lambda: place.put_file(key, tree / "empty"),
        lambda: place.fetch_tree(key, tmp_path / "x"),
        lambda: place.fetch_files(key, ["empty"], tmp_path / "x", common=tmp_path / "common"),
        lambda: place.open(key),
        lambda: place.delete(key),
    ):
        with pytest.raises(ValueError, match="not a blob key"):
            use()


def test_a_link_is_not_published(place: Blobs, tree: Path) -> None:
    (tree / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="link"):
        place.put_tree("models/m", tree)
    assert not place.exists("models/m")


def test_a_check_says_where_it_wrote(place: Blobs) -> None:
    assert place.check()
    assert list(place.keys("models")) == []


def test_with_too_little_space_nothing_is_kept_and_nothing_is_lost(tree: Path, tmp_path: Path) -> None:
    place = LocalBlobs(tmp_path / "blobs", free_space_floor_bytes=1 << 60)
    with pytest.raises(StorageFull):
        place.put_tree("models/m", tree)
    with pytest.raises(StorageFull):
        place.put_file("uploads/u/a", tree / "empty")
    assert not place.exists("models/m")
    assert contents(tree)


def test_a_disk_that_fills_up_half_way_leaves_nothing_half_published(tree: Path, tmp_path: Path) -> None:
    place = LocalBlobs(tmp_path / "blobs")
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (PART // 2, PART // 2))
        try:
            place.put_tree("models/m", tree)
        except StorageFull:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert not place.exists("models/m")
    assert list((tmp_path / "blobs" / ".staging").iterdir()) == []
    place.put_tree("models/m", tree)
    assert place.exists("models/m")


def test_a_line_that_is_cut_publishes_nothing_and_the_next_try_all(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        place = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}", retry_seconds=1)
        proxy.cut_after_bytes = 1 << 20
        with pytest.raises(StorageUnavailable):
            place.put_tree("models/m", tree)
        proxy.cut_after_bytes = None
        assert not place.exists("models/m")
        with pytest.raises(NotFound):
            place.fetch_tree("models/m", tmp_path / "fetched")
        place.put_tree("models/m", tree)
        assert contents(place.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    finally:
        proxy.stop()


def test_a_line_that_breaks_for_a_moment_is_no_error(s3: S3Server, tree: Path) -> None:
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        place = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}")
        assert place.check()
        proxy.reset()
        place.put_tree("models/m", tree)
        assert place.exists("models/m")
    finally:
        proxy.stop()


def test_a_damaged_object_is_refused(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    bucket = s3.bucket()
    place = S3Blobs(bucket, endpoint_url=s3.url)
    place.put_tree("models/m", tree)
    metadata = s3.client().head_object(Bucket=bucket, Key="models/m/weights.safetensors")["Metadata"]
    s3.client().put_object(Bucket=bucket, Key="models/m/weights.safetensors", Body=b"damaged", Metadata=metadata)
    with pytest.raises(DamagedBlob, match="checksum"):
        place.fetch_tree("models/m", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    with pytest.raises(DamagedBlob, match="checksum"):
        place.fetch_files("models/m", contents(tree), tmp_path / "fetched", common=tmp_path / "common")
    assert "weights.safetensors" not in contents(tmp_path / "fetched")


def test_what_was_fetched_once_is_used_as_it_is(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    place = S3Blobs(s3.bucket(), endpoint_url=s3.url)
    place.put_tree("models/m", tree)
    place.fetch_tree("models/m", tmp_path / "fetched")
    place.delete("models/m")
    assert contents(place.fetch_tree("models/m", tmp_path / "fetched")) == contents(tree)
    shutil.rmtree(tmp_path / "fetched")


def test_what_trees_have_in_common_is_fetched_once(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    bucket = s3.bucket()
    place = S3Blobs(bucket, endpoint_url=s3.url)
    place.put_tree("models/one", tree)
    (tree / "encoders" / "image" / "encoder.json").write_text('{"another": true}')
    place.put_tree("models/other", tree)
    one = place.fetch_files("models/one", contents(tree), tmp_path / "one", common=tmp_path / "common")
    metadata = s3.client().head_object(Bucket=bucket, Key="models/other/weights.safetensors")["Metadata"]
    s3.client().put_object(Bucket=bucket, Key="models/other/weights.safetensors", Body=b"not read", Metadata=metadata)
    other = place.fetch_files("models/other", contents(tree), tmp_path / "other", common=tmp_path / "common")
    assert contents(other) == contents(tree)
    assert (one / "weights.safetensors").samefile(other / "weights.safetensors")
    assert not (one / "encoders/image/encoder.json").samefile(other / "encoders/image/encoder.json")


def test_a_damaged_copy_of_what_trees_have_in_common_is_fetched_again(s3: S3Server, tree: Path, tmp_path: Path) -> None:
    place = S3Blobs(s3.bucket(), endpoint_url=s3.url)
    place.put_tree("models/m", tree)
    fetched, common = tmp_path / "fetched", tmp_path / "common"
    place.fetch_files("models/m", contents(tree), fetched, common=common)
    (fetched / "weights.safetensors").write_bytes(b"damaged, here and in common")
    assert place.forget(fetched)
    assert not place.forget(fetched)
    assert contents(place.fetch_files("models/m", contents(tree), fetched, common=common)) == contents(tree)


def test_what_is_published_in_a_folder_is_no_copy_to_forget(tree: Path, tmp_path: Path) -> None:
    place = LocalBlobs(tmp_path / "blobs")
    place.put_tree("models/m", tree)
    assert not place.forget(place.fetch_tree("models/m", tmp_path / "fetched"))
    assert place.exists("models/m")


def test_files_of_a_tree_are_fetched_side_by_side(s3: S3Server, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / str(number)).write_text(str(number))
    proxy = NetworkProxy(s3.host, s3.port).start()
    try:
        place = S3Blobs(s3.bucket(), endpoint_url=f"http://127.0.0.1:{proxy.port}")
        place.put_tree("models/m", tree)
        proxy.reset()
        proxy.freezes = True
        with ThreadPoolExecutor() as pool:
            fetching = pool.submit(
                place.fetch_files, "models/m", contents(tree), tmp_path / "fetched", common=tmp_path / "common"
            )
            deadline = time.monotonic() + 10
            while proxy.lines < PARALLEL_DOWNLOADS and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            lines = proxy.lines
            proxy.freezes = False
            assert contents(fetching.result(20)) == contents(tree)
        assert lines == PARALLEL_DOWNLOADS
    finally:
        proxy.stop()


def test_a_place_that_does_not_answer_says_so_whatever_is_asked_of_it(tree: Path, tmp_path: Path) -> None:
    place = S3Blobs("bucket", endpoint_url="http://127.0.0.1:9", retry_seconds=0)
    for use in (
        lambda: place.put_tree("models/m", tree),
        lambda: place.put_file("uploads/u/a", tree / "empty"),
        lambda: place.fetch_tree("models/m", tmp_path / "x"),
        lambda: place.fetch_files("models/m", ["empty"], tmp_path / "x", common=tmp_path / "common"),
        lambda: place.open("models/m/empty"),
        lambda: place.exists("models/m"),
        lambda: place.delete("models/m"),
        lambda: list(place.keys("models")),
        place.check,
    ):
        with pytest.raises(StorageUnavailable):
            use()
