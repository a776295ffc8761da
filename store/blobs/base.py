"""Base class of blob storage."""

from __future__ import annotations

import errno
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


#: Error numbers of a full disk, an exhausted quota, and a file beyond its size limit.
DISK_FULL_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Blobs(Protocol):
    """Storage of files and trees of files by key.

    Keys are relative POSIX paths such as `datasets/ds_...`; a key that could name something outside of the root raises
    `ValueError`. Every method may raise `StorageUnavailable`, and those that fetch also `DamagedBlob` and
    `StorageFull`.
    """

    def put_tree(self, key: str, directory: Path, *, move: bool = False) -> None:
        """Publish a folder, completely or not at all.

        An existing key stays as it is: keys are never reused. With `move` the folder is gone afterwards; a local disk
        then renames it instead of writing every byte a second time. A crash in between leaves it complete in one place
        or the other.

        Raises:
            StorageFull: There is too little space left.
            ValueError: The folder holds a symbolic link.
        """

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """Publish one file; with `move` it is gone from `path` afterwards. Raises `StorageFull`."""

    def fetch_tree(self, key: str, into: Path) -> Path:
        """Return a folder with the tree, to read only.

        `into`, filled and verified, or the published folder itself.

        Raises `NotFound`.
        """

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:
        """Return a folder with at least these files of a tree.

        Files that `into` lacks are added to it.

        Files with equal content, fetched with the same folder `common`, are fetched once and stored once, also if they
        belong to different trees. Raises `NotFound`.
        """

    def forget(self, into: Path) -> bool:
        """Delete fetched files.

        Return False if there are none, as fetching returned the published files themselves.
        """

    def fetch_file(self, key: str, into: Path) -> Path:
        """Return a file to read only: `into`, or the published file itself. Raises `NotFound`."""

    def open(self, key: str) -> BinaryIO:
        """Open a file, or one of a tree, to read from any offset; raises `NotFound`."""

    def exists(self, key: str) -> bool:
        """Return whether a file or a complete tree is published under that key."""

    def delete(self, key: str) -> None:
        """Delete a file or a tree; no error if it does not exist."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the files under a prefix, also those of incomplete trees."""

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield the files under a prefix, as `keys` does, with their bytes."""

    def check(self) -> str:
        """Write and read a small file; return the location. Raises `OSError` with the reason."""


def check_key(key: str) -> str:
    """Return the key; raises `ValueError` if it could name something outside of the root."""
    path = PurePosixPath(key)
    if not path.parts or path.is_absolute() or str(path) != key or ".." in path.parts or "\0" in key or "\\" in key:
        raise ValueError(f"not a blob key: {key!r}; use a relative POSIX path")
    return key


def list_files(directory: Path) -> list[Path]:
    """List the files of a tree in order.

    Raises `ValueError` for a symbolic link, whose target may be anything.
    """
    paths = sorted(directory.rglob("*"))
    for path in paths:
        if path.is_symlink():
            raise ValueError(f"a symbolic link cannot be published: {path.name}")
    return [path for path in paths if path.is_file()]
