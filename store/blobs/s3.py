"""Blob storage in S3 or a compatible storage.

The index of a tree is uploaded last; without it there is no tree.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from store.blobs.base import DISK_FULL_ERRNOS, check_key, list_files
from store.errors import DamagedBlob, NotFound, StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

INDEX = ".index.json"
#: Metadata key of every object: the checksum of its bytes.
SHA256 = "sha256"
PART_BYTES = 8 << 20
RETRY_SECONDS = 20
#: Parallel downloads of one tree: most files are small, and the round trips take the time.
PARALLEL_DOWNLOADS = 8


class S3Blobs:
    """Blobs at `s3://bucket/prefix/key`. Credentials and region come from the usual `AWS_*` variables."""

    def __init__(
        self, bucket: str, *, prefix: str = "", endpoint_url: str | None = None, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._name = f"s3://{bucket}/{prefix}"
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint_url,
            client_options={
                "allow_http": bool(endpoint_url and endpoint_url.startswith("http://")),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=60),
            },
            retry_config={
                "max_retries": 4,
                "retry_timeout": timedelta(seconds=retry_seconds),
                "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
            },
        )

    def put_tree(self, key: str, directory: Path, *, move: bool = False) -> None:
        """Upload the objects first and the index last."""
        if self._index(key) is None:
            index = {}
            for file in list_files(directory):
                name = file.relative_to(directory).as_posix()
                index[name] = file.stat().st_size
                self._put(f"{check_key(key)}/{name}", file)
            with self._translate_errors(key):
                obstore.put(self._store, f"{key}/{INDEX}", json.dumps(index).encode())
        if move:
            shutil.rmtree(directory, ignore_errors=True)

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """Upload a file, in parts if it is large.

        It is visible once all parts are there.
        """
        self._put(check_key(key), path)
        if move:
            path.unlink()

    def fetch_tree(self, key: str, into: Path) -> Path:
        """Download and verify beside `into`, then rename; an existing `into` is used as it is."""
        if into.is_dir():
            return into
        index = self._index(key)
        if index is None:
            raise NotFound("blob", key)
        staged = into.with_name(f"{into.name}.{secrets.token_hex(4)}")
        try:
            _run_in_parallel(lambda name: self._download(f"{key}/{check_key(name)}", staged / name), index)
            staged.mkdir(parents=True, exist_ok=True)
            staged.replace(into)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return into

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:
        """Download and verify each file beside its place, then rename.

        Existing files are used as they are.
        """
        check_key(key)

        def fetch(name: str) -> None:
            path = into / name
            staged = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            try:
                self._download(f"{key}/{name}", staged, common).replace(path)
            finally:
                # It still exists if another process has put the same file into its place meanwhile.
                staged.unlink(missing_ok=True)

        _run_in_parallel(fetch, [name for name in names if not (into / check_key(name)).exists()])
        return into

    def forget(self, into: Path) -> bool:
        """Delete the folder; files in common with other trees stay in the folder `common`."""
        if not into.is_dir():
            return False
        shutil.rmtree(into, ignore_errors=True)
        return True

    def fetch_file(self, key: str, into: Path) -> Path:
        """Download the file to `into`."""
        return self._download(check_key(key), into)

    def open(self, key: str) -> BinaryIO:
        """Open a file that reads ranges as it is consumed."""
        with self._translate_errors(key):
            reader = obstore.open_reader(self._store, check_key(key))
        return io.BufferedReader(_Raw(reader), PART_BYTES)

    def exists(self, key: str) -> bool:
        """Return whether there is a tree with an index, or a file."""
        return self._index(key) is not None or self._has(key)

    def delete(self, key: str) -> None:
        """Delete the index first, so that a tree is gone at once."""
        if self._has(f"{check_key(key)}/{INDEX}"):
            with self._translate_errors(key):
                obstore.delete(self._store, f"{key}/{INDEX}")
        paths = list(self.keys(key)) + ([key] if self._has(key) else [])
        if paths:
            with self._translate_errors(key):
                obstore.delete(self._store, paths)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield keys in no particular order."""
        for key, _ in self.sizes(prefix):
            yield key

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield keys with their bytes."""
        with self._translate_errors(prefix):
            for page in obstore.list(self._store, check_key(prefix)):
                for item in page:
                    if not item["path"].endswith(f"/{INDEX}"):
                        yield item["path"], item["size"]

    def check(self) -> str:
        """Write, read and delete an object."""
        probe = f".check/{secrets.token_hex(8)}"
        with self._translate_errors(probe):
            obstore.put(self._store, probe, b"plinth")
            obstore.get(self._store, probe).bytes()
            obstore.delete(self._store, probe)
        return self._name

    def _put(self, key: str, path: Path) -> None:
        with self._translate_errors(key):
            attributes = {SHA256: _sha256(path)}
            obstore.put(self._store, key, path, attributes=attributes, chunk_size=PART_BYTES, max_concurrency=2)

    def _download(self, key: str, into: Path, common: Path | None = None) -> Path:
        into.parent.mkdir(parents=True, exist_ok=True)
        with self._translate_errors(key):
            remote = obstore.get(self._store, key)
            sha256 = remote.attributes.get(SHA256)
            shared = common / check_key(sha256) if common is not None and sha256 else None
            if shared is not None and _is_intact(shared):
                into.hardlink_to(shared)
                return into
            with into.open("wb") as file:
                for chunk in remote.stream(min_chunk_size=PART_BYTES):
                    file.write(chunk)
        if sha256 not in (None, _sha256(into)):
            into.unlink()
            raise DamagedBlob(f"{self._name}/{key}")
        if shared is not None:
            shared.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # Another thread or process has fetched it meanwhile.
                shared.hardlink_to(into)
        return into

    def _index(self, key: str) -> dict[str, int] | None:
        try:
            with self._translate_errors(key):
                index: dict[str, int] = json.loads(bytes(obstore.get(self._store, f"{check_key(key)}/{INDEX}").bytes()))
        except NotFound:
            return None
        return index

    def _has(self, key: str) -> bool:
        try:
            with self._translate_errors(key):
                obstore.head(self._store, check_key(key))
        except NotFound:
            return False
        return True

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        """Raise errors of the client as errors of `store`."""
        try:
            yield
        except FileNotFoundError:
            raise NotFound("blob", key) from None
        except BaseError as error:
            raise StorageUnavailable(f"{self._name}/{key}: {error}") from error
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS:
                raise StorageFull(f"no space is left for files fetched from {self._name}") from error
            raise


class _Raw(io.RawIOBase):
    """Adapts a reader of obstore to `io.RawIOBase`."""

    def __init__(self, reader: obstore.ReadableFile) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed declares the wider Buffer
        chunk = self._reader.read(len(buffer))
        buffer[: len(chunk)] = bytes(chunk)
        return len(chunk)


def _run_in_parallel(fetch: Callable[[str], object], names: Collection[str]) -> None:
    """Call `fetch` for every name, in `PARALLEL_DOWNLOADS` threads; raises the first error."""
    if len(names) < 2:
        for name in names:
            fetch(name)
        return
    with ThreadPoolExecutor(min(len(names), PARALLEL_DOWNLOADS), thread_name_prefix="fetch") as pool:
        for _ in pool.map(fetch, names):
            pass


def _is_intact(shared: Path) -> bool:
    """Return whether a file exists and matches the checksum that is its name.

    Delete it if it does not match.
    """
    if not shared.exists():
        return False
    is_intact = _sha256(shared) == shared.name
    if not is_intact:
        shared.unlink(missing_ok=True)
    return is_intact


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
