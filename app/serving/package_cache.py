"""Packages of registered models on this machine's disk: where they lie already, or as copies of what answers."""

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
    """Blocks while files are fetched. A damaged copy is found when it is read; after `forget`, `open` makes another."""

    def __init__(self, blobs: Callable[[], Blobs], copies: Path) -> None:
        self._blobs = blobs
        self._copies = copies

    def open(self, served: ServedVersion) -> ModelPackage:
        """With all that answers; raises `PackageError`, `StorageFull` and `StorageUnavailable`."""
        # Imported when first needed: ONNX Runtime and numpy are most of what this process would otherwise weigh.
        from ml.package.checksums import cached_digest
        from ml.package.manifest import MANIFEST
        from ml.package.package import ModelPackage

        folder = self._fetched(served, MANIFEST)
        # The manifest vouches for the files; what vouches for the manifest is the row that it was registered with.
        if served.manifest_sha256 and cached_digest(folder / MANIFEST) != served.manifest_sha256:
            raise DamagedPackage(
                f"{MANIFEST} of {served.name}@{served.version} is not the one that was registered", hint=HINT
            )
        package = ModelPackage.open_lazily(folder)
        self._fetched(served, *package.served_paths)
        return package

    def forget(self, served: ServedVersion) -> bool:
        """Throw the copy away; False where there is none."""
        return self._blobs().forget(self._copies / served.id)

    def _fetched(self, served: ServedVersion, *paths: str) -> Path:
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
            raise PackageError(f"{path} is damaged: it is not the file that was packed", hint=HINT) from error

    def _fetch(self, served: ServedVersion, paths: Sequence[str]) -> Path:
        # Fine-tunes of one base have most of their bytes in common.
        common = self._copies / COMMON
        return self._blobs().fetch_files(served.key, paths, self._copies / served.id, common=common)

    def _make_room(self, served: ServedVersion) -> bool:
        """Throw away the copies of others: what is in memory needs none. Whether there were any."""
        folders = [folder for folder in self._copies.iterdir() if folder.name not in (served.id, COMMON)]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for twin in (self._copies / COMMON).glob("*"):
            twin.unlink(missing_ok=True)
        return bool(folders)
