"""A storage of each kind, and a tree of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.blobs import Blobs
from store.blobs.local import LocalBlobs
from store.blobs.s3 import S3Blobs
from tests.support.servers import S3Server

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
