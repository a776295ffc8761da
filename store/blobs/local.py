"""Blobs in a folder. Publishing is one rename of what was already flushed to the disk."""

from __future__ import annotations

import errno
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from store.atomic_directory import atomic_directory, fsync_path, fsync_tree, publish
from store.blobs.base import FULL, plain_files, safe
from store.errors import NotFound, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STAGING = ".staging"


class LocalBlobs:
    """`root/key`. What is not published yet lies in `root/.staging`, on the same file system."""

    def __init__(self, root: str | Path, *, free_space_floor_bytes: int = 0) -> None:
        self.root = Path(root)
        self._floor_bytes = free_space_floor_bytes
        (self.root / STAGING).mkdir(mode=0o700, parents=True, exist_ok=True)

    def put_tree(self, key: str, directory: Path, *, move: bool = False) -> None:
        """Rename the folder if it may be moved and is on the same file system; else copy it."""
        target = self.root / safe(key)
        files = plain_files(directory)
        if not target.exists() and not (move and self._rename_tree(directory, target)):
            with (
                self._space_for(sum(file.stat().st_size for file in files)),
                atomic_directory(target, scratch=self.root / STAGING) as staged,
            ):
                for file in files:
                    copy = staged / file.relative_to(directory)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    _copy(file, copy)
        if move:
            shutil.rmtree(directory, ignore_errors=True)

    def _rename_tree(self, directory: Path, target: Path) -> bool:
        """Return False across file systems, where only a copy is atomic."""
        # Its bytes are on the disk already; what is left of it must still be above the floor.
        with self._space_for(0):
            return self._rename(directory, target)

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """A move within one file system copies nothing."""
        target = self.root / safe(key)
        if move and self._rename(path, target):
            return
        staged = self.root / STAGING / secrets.token_hex(8)
        with self._space_for(path.stat().st_size):
            try:
                _copy(path, staged)
                fsync_path(staged)
                publish(staged, target)
            finally:
                staged.unlink(missing_ok=True)
        if move:
            path.unlink()

    def _rename(self, path: Path, target: Path) -> bool:
        """Flush and rename a file or folder; return False across file systems."""
        if path.stat().st_dev != self.root.stat().st_dev:
            return False
        fsync_tree(path)
        try:
            publish(path, target)
        except OSError as error:
            # One device may be mounted in two places, and no rename crosses from one to the other.
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    def fetch_tree(self, key: str, into: Path) -> Path:  # noqa: ARG002 - other places copy into it
        """The published folder itself."""
        found = self.root / safe(key)
        if not found.is_dir():
            raise NotFound("blob", key)
        return found

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:  # noqa: ARG002
        """The published folder itself, with whatever else is in it."""
        return self.fetch_tree(key, into)

    def forget(self, into: Path) -> bool:  # noqa: ARG002 - other places copy into it
        """Nothing was copied."""
        return False

    def fetch_file(self, key: str, into: Path) -> Path:  # noqa: ARG002 - other places copy into it
        """The published file itself."""
        found = self.root / safe(key)
        if not found.is_file():
            raise NotFound("blob", key)
        return found

    def open(self, key: str) -> BinaryIO:
        """Unbuffered by us."""
        try:
            return (self.root / safe(key)).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound("blob", key) from None

    def exists(self, key: str) -> bool:
        """What has its name is whole."""
        return (self.root / safe(key)).exists()

    def delete(self, key: str) -> None:
        """Out of sight by one rename, then file by file; empty parents go too."""
        target = self.root / safe(key)
        doomed = self.root / STAGING / secrets.token_hex(8)
        try:
            target.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed) if doomed.is_dir() else doomed.unlink()
        for parent in target.parents:
            if parent == self.root or any(parent.iterdir()):
                break
            parent.rmdir()

    def keys(self, prefix: str) -> Iterator[str]:
        """In no order."""
        top = self.root / safe(prefix)
        for path in (top,) if top.is_file() else top.rglob("*"):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    def check(self) -> str:
        """Write, flush and remove."""
        probe = self.root / STAGING / f"check-{secrets.token_hex(8)}"
        try:
            probe.write_bytes(b"plinth")
            fsync_path(probe)
        finally:
            probe.unlink(missing_ok=True)
        return str(self.root)

    @contextmanager
    def _space_for(self, needed_bytes: int) -> Iterator[None]:
        """Raise `StorageFull` where these bytes do not fit above the floor, or the block runs out of space."""
        free = shutil.disk_usage(self.root).free
        if free - needed_bytes < self._floor_bytes:
            raise StorageFull(f"{free} bytes are free in {self.root}, too few to keep {needed_bytes} more")
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"no space left in {self.root}") from error
            raise


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
