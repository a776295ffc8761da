"""Blobs in S3: broken connections, damaged objects, files in common."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store.blobs.s3 import PARALLEL_DOWNLOADS, S3Blobs
from store.errors import DamagedBlob, NotFound, StorageUnavailable
from tests.store.blobs.conftest import contents
from tests.support.servers import NetworkProxy, S3Server


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
