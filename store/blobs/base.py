"""The interface of blob storage."""

from __future__ import annotations

import errno
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Blobs(Protocol):
    """Keys are relative POSIX paths of our own making, `datasets/ds_...`; one that could leave its root is refused.

    Everything raises `StorageUnavailable` where the place does not answer, and what fetches `DamagedBlob` and
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
        """A folder to read from, and only that: `into`, filled and checked, or the published one itself.

        Raises `NotFound`.
        """

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:
        """Likewise, with these files of the tree if with no others: `into` is added to, each time by what it lacks.

        A file that was fetched before with the same folder `common`, for whatever tree, is not fetched again, and is
        on the disk once. Raises `NotFound`.
        """

    def forget(self, into: Path) -> bool:
        """Throw away what was fetched to there; False where that would be the published files themselves."""

    def fetch_file(self, key: str, into: Path) -> Path:
        """A file to read from, likewise."""

    def open(self, key: str) -> BinaryIO:
        """One file, or one file of a tree, as a stream; raises `NotFound`."""

    def exists(self, key: str) -> bool:
        """Whether a file or a whole tree of that key is published."""

    def delete(self, key: str) -> None:
        """Forget a file or a tree; what is not there is gone already."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The files under a prefix, published or not: for sweeping up."""

    def check(self) -> str:
        """Prove that a small file can be written and read; says where. Raises `OSError` with the reason."""


def safe(key: str) -> str:
    """The key itself; raises `ValueError` for one that could name something outside its root."""
    path = PurePosixPath(key)
    if not path.parts or path.is_absolute() or str(path) != key or ".." in path.parts or "\0" in key or "\\" in key:
        raise ValueError(f"not a blob key: {key!r}")
    return key


def plain_files(directory: Path) -> list[Path]:
    """The files of a tree, in order; raises `ValueError` for a link, whose target may be anything."""
    found = sorted(directory.rglob("*"))
    for path in found:
        if path.is_symlink():
            raise ValueError(f"a link cannot be published: {path.name}")
    return [path for path in found if path.is_file()]
