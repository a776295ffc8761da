"""Blobs, in a folder and in S3 alike: complete or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.blobs import Blobs
from store.blobs.s3 import S3Blobs
from store.errors import NotFound
from tests.store.blobs.conftest import PART, contents


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
