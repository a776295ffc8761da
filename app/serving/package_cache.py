"""Packages of registered models on the local disk.

A package is used where it is, or its served files are copied from blob storage.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ml.errors import DamagedPackage, PackageError
from store.errors import DamagedBlob, NotFound, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.serving.types import ServedVersion
    from ml.package.package import ModelPackage
    from store.blobs import Blobs

COMMON = "common"
HINT = "Restore the package, or train the model again."


class PackageCache:
    """Opens packages, and copies their files where they are not local; blocks while it does.

    A damaged copy is detected when it is read; after `forget`, `open` makes a new one.
    """

    def __init__(self, blobs: Callable[[], Blobs], copies: Path) -> None:
        """`copies` is the folder of the copies."""
        self._blobs = blobs
        self._copies = copies

    def open(self, served: ServedVersion) -> ModelPackage:
        """Open the package of a version, with the files that are served.

        Raises `PackageError`, `StorageFull` and `StorageUnavailable`.
        """
        # Imported when first needed: ONNX Runtime and numpy take most of the memory of this process.
        from ml.package.checksums import cached_digest
        from ml.package.manifest import MANIFEST
        from ml.package.package import ModelPackage

        folder = self._fetch_making_room(served, MANIFEST)
        # The manifest has the checksums of the files, and the row in the database has the checksum of the manifest.
        if served.manifest_sha256 and cached_digest(folder / MANIFEST) != served.manifest_sha256:
            raise DamagedPackage(
                f"{MANIFEST} of {served.name}@{served.version} is not the one that was registered", hint=HINT
            )
        package = ModelPackage.open_lazily(folder)
        self._fetch_making_room(served, *package.served_paths)
        return package

    def forget(self, served: ServedVersion) -> bool:
        """Delete the copy of a version; return False where there is none."""
        return self._blobs().forget(self._copies / served.id)

    def _fetch_making_room(self, served: ServedVersion, *paths: str) -> Path:
        try:
            try:
                return self._fetch(served, paths)
            except StorageFull:
                if not self._make_room(served):
                    raise
                return self._fetch(served, paths)
        except NotFound as error:
            path = error.reference.removeprefix(f"{served.key}/")
            raise PackageError(f"{path} is missing", hint=HINT) from error
        except DamagedBlob as error:
            path = error.key.partition(f"{served.key}/")[2]
            raise PackageError(f"{path} is damaged: it is not the file that was packaged", hint=HINT) from error

    def _fetch(self, served: ServedVersion, paths: Sequence[str]) -> Path:
        # Fine-tunes of one base share most of their files.
        common = self._copies / COMMON
        return self._blobs().fetch_files(served.key, paths, self._copies / served.id, common=common)

    def _make_room(self, served: ServedVersion) -> bool:
        """Delete the copies of other versions; return whether there were any.

        Models in memory need no copy.
        """
        folders = [folder for folder in self._copies.iterdir() if folder.name not in (served.id, COMMON)]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for path in (self._copies / COMMON).glob("*"):
            path.unlink(missing_ok=True)
        return bool(folders)
