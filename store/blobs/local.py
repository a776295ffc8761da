"""Blob storage in a local folder.

Publishing is one rename of files that are already flushed to the disk.
"""

from __future__ import annotations

import errno
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from store.atomic_directory import atomic_directory, fsync_path, fsync_tree, publish
from store.blobs.base import DISK_FULL_ERRNOS, check_key, list_files
from store.errors import NotFound, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STAGING = ".staging"


class LocalBlobs:
    """Blobs at `root/key`; unpublished files are in `root/.staging`, on the same file system."""

    def __init__(self, root: str | Path, *, free_space_floor_bytes: int = 0) -> None:
        self.root = Path(root)
        self._floor_bytes = free_space_floor_bytes
        (self.root / STAGING).mkdir(mode=0o700, parents=True, exist_ok=True)

    def put_tree(self, key: str, directory: Path, *, move: bool = False) -> None:
        """Rename the folder if it may be moved and is on the same file system.

        Else copy it.
        """
        target = self.root / check_key(key)
        files = list_files(directory)
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
        """Rename the file if it may be moved and is on the same file system.

        Else copy it.
        """
        target = self.root / check_key(key)
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

    def fetch_tree(self, key: str, into: Path) -> Path:  # noqa: ARG002 - other storages copy into it
        """Return the published folder itself."""
        path = self.root / check_key(key)
        if not path.is_dir():
            raise NotFound("blob", key)
        return path

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:  # noqa: ARG002
        """Return the published folder itself, with all its files."""
        return self.fetch_tree(key, into)

    def forget(self, into: Path) -> bool:  # noqa: ARG002 - other storages copy into it
        """Return False, as nothing was copied."""
        return False

    def fetch_file(self, key: str, into: Path) -> Path:  # noqa: ARG002 - other storages copy into it
        """Return the published file itself."""
        path = self.root / check_key(key)
        if not path.is_file():
            raise NotFound("blob", key)
        return path

    def open(self, key: str) -> BinaryIO:
        """Open the published file."""
        try:
            return (self.root / check_key(key)).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound("blob", key) from None

    def exists(self, key: str) -> bool:
        """Return whether the path exists; a rename published it completely."""
        return (self.root / check_key(key)).exists()

    def delete(self, key: str) -> None:
        """Hide the blob by one rename, then delete its files and empty parent folders."""
        target = self.root / check_key(key)
        trash = self.root / STAGING / secrets.token_hex(8)
        try:
            target.rename(trash)
        except FileNotFoundError:
            return
        shutil.rmtree(trash) if trash.is_dir() else trash.unlink()
        for parent in target.parents:
            if parent == self.root or any(parent.iterdir()):
                break
            parent.rmdir()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield keys in no particular order."""
        for key, _ in self.sizes(prefix):
            yield key

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield keys with their bytes; a file that is deleted meanwhile is left out."""
        top = self.root / check_key(prefix)
        for path in (top,) if top.is_file() else top.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path.relative_to(self.root).as_posix(), path.stat().st_size

    def check(self) -> str:
        """Write, flush and delete a file."""
        probe = self.root / STAGING / f"check-{secrets.token_hex(8)}"
        try:
            probe.write_bytes(b"plinth")
            fsync_path(probe)
        finally:
            probe.unlink(missing_ok=True)
        return str(self.root)

    @contextmanager
    def _space_for(self, needed_bytes: int) -> Iterator[None]:
        """Raise `StorageFull` for too little space, before or during the block.

        Before it, `needed_bytes` must fit above the floor of free space.
        """
        free = shutil.disk_usage(self.root).free
        if free - needed_bytes < self._floor_bytes:
            raise StorageFull(
                f"{free / 1e6:,.0f} MB are free in {self.root}, too little to store {needed_bytes / 1e6:,.1f} MB more "
                f"and keep {self._floor_bytes / 1e6:,.0f} MB free"
            )
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                raise StorageFull(f"no space is left in {self.root}") from error
            raise


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
