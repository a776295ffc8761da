"""Cached checksums, which never belong to another content."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from ml.package import checksums
from ml.package.checksums import STABLE_SECONDS, cached_digest, digest


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read for a checksum."""
    paths: list[Path] = []

    def record(path: Path) -> str:
        paths.append(path)
        return digest(path)

    monkeypatch.setattr(checksums, "digest", record)
    return paths


def test_an_unchanged_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert cached_digest(path) == digest(path)
    assert cached_digest(path) == digest(path)
    assert len(read) == 2, "one that was written just now may be written again in the same tick"
    time.sleep(STABLE_SECONDS + 0.05)
    for _ in range(3):
        assert cached_digest(path) == digest(path)
    assert len(read) == 3


def test_changed_content_is_noticed_in_every_case(tmp_path: Path, read: list[Path]) -> None:
    path, replacement = tmp_path / "file", tmp_path / "replacement"
    path.write_bytes(b"content")
    time.sleep(STABLE_SECONDS + 0.05)
    before = path.stat()
    assert cached_digest(path) == digest(path)
    with path.open("r+b") as file:
        file.write(b"C")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cached_digest(path) == digest(path), "written in place, and dated back"
    replacement.write_bytes(b"CONTENT")
    shutil.copystat(path, replacement)
    replacement.replace(path)
    assert cached_digest(path) == digest(path), "another file in its place, of the same size and time"
    assert len(read) == 3
