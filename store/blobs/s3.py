"""Blobs in S3 or what speaks like it. A tree's objects go first, its index last: without an index there is no tree."""

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

from store.blobs.base import FULL, plain_files, safe
from store.errors import DamagedBlob, NotFound, StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

INDEX = ".index.json"
SHA256 = "sha256"
"""Metadata of every object of ours."""
PART_BYTES = 8 << 20
RETRY_SECONDS = 20
FILES_AT_ONCE = 8
"""Of one tree: most are small, and what takes time is to ask for each."""


class S3Blobs:
    """`s3://bucket/prefix/key`. Credentials and region come from the usual `AWS_*` variables."""

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
            for file in plain_files(directory):
                name = file.relative_to(directory).as_posix()
                index[name] = file.stat().st_size
                self._put(f"{safe(key)}/{name}", file)
            with self._reached(key):
                obstore.put(self._store, f"{key}/{INDEX}", json.dumps(index).encode())
        if move:
            shutil.rmtree(directory, ignore_errors=True)

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """In parts where it is large; visible once all are there."""
        self._put(safe(key), path)
        if move:
            path.unlink()

    def fetch_tree(self, key: str, into: Path) -> Path:
        """Downloaded and checked beside `into`, then renamed; what is there already is used as it is."""
        if into.is_dir():
            return into
        index = self._index(key)
        if index is None:
            raise NotFound("blob", key)
        staged = into.with_name(f"{into.name}.{secrets.token_hex(4)}")
        try:
            _side_by_side(lambda name: self._download(f"{key}/{safe(name)}", staged / name), index)
            staged.mkdir(parents=True, exist_ok=True)
            staged.replace(into)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return into

    def fetch_files(self, key: str, names: Iterable[str], into: Path, *, common: Path) -> Path:
        """Each downloaded and checked beside its place, then renamed; what is there already is used as it is."""
        safe(key)

        def fetch(name: str) -> None:
            path = into / name
            staged = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            try:
                self._download(f"{key}/{name}", staged, common).replace(path)
            finally:
                # It is still there if another has put the same file into its place meanwhile.
                staged.unlink(missing_ok=True)

        _side_by_side(fetch, [name for name in names if not (into / safe(name)).exists()])
        return into

    def forget(self, into: Path) -> bool:
        """What others have in common with it stays, if it is whole when it is next wanted."""
        if not into.is_dir():
            return False
        shutil.rmtree(into, ignore_errors=True)
        return True

    def fetch_file(self, key: str, into: Path) -> Path:
        """Downloaded to `into`."""
        return self._download(safe(key), into)

    def open(self, key: str) -> BinaryIO:
        """Read in ranges as it is consumed."""
        with self._reached(key):
            reader = obstore.open_reader(self._store, safe(key))
        return io.BufferedReader(_Raw(reader), PART_BYTES)

    def exists(self, key: str) -> bool:
        """A tree with its index, or a file."""
        return self._index(key) is not None or self._has(key)

    def delete(self, key: str) -> None:
        """The index first, so that a tree is gone at once."""
        if self._has(f"{safe(key)}/{INDEX}"):
            with self._reached(key):
                obstore.delete(self._store, f"{key}/{INDEX}")
        paths = list(self.keys(key)) + ([key] if self._has(key) else [])
        if paths:
            with self._reached(key):
                obstore.delete(self._store, paths)

    def keys(self, prefix: str) -> Iterator[str]:
        """In no order."""
        with self._reached(prefix):
            for page in obstore.list(self._store, safe(prefix)):
                for item in page:
                    if not item["path"].endswith(f"/{INDEX}"):
                        yield item["path"]

    def check(self) -> str:
        """Write, read and remove."""
        probe = f".check/{secrets.token_hex(8)}"
        with self._reached(probe):
            obstore.put(self._store, probe, b"plinth")
            obstore.get(self._store, probe).bytes()
            obstore.delete(self._store, probe)
        return self._name

    def _put(self, key: str, path: Path) -> None:
        with self._reached(key):
            attributes = {SHA256: _sha256(path)}
            obstore.put(self._store, key, path, attributes=attributes, chunk_size=PART_BYTES, max_concurrency=2)

    def _download(self, key: str, into: Path, common: Path | None = None) -> Path:
        into.parent.mkdir(parents=True, exist_ok=True)
        with self._reached(key):
            found = obstore.get(self._store, key)
            sha256 = found.attributes.get(SHA256)
            twin = common / safe(sha256) if common is not None and sha256 else None
            if twin is not None and _is_whole(twin):
                into.hardlink_to(twin)
                return into
            with into.open("wb") as file:
                for chunk in found.stream(min_chunk_size=PART_BYTES):
                    file.write(chunk)
        if sha256 not in (None, _sha256(into)):
            into.unlink()
            raise DamagedBlob(f"{self._name}/{key}")
        if twin is not None:
            twin.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # Another has fetched it meanwhile.
                twin.hardlink_to(into)
        return into

    def _index(self, key: str) -> dict[str, int] | None:
        try:
            with self._reached(key):
                found: dict[str, int] = json.loads(bytes(obstore.get(self._store, f"{safe(key)}/{INDEX}").bytes()))
        except NotFound:
            return None
        return found

    def _has(self, key: str) -> bool:
        try:
            with self._reached(key):
                obstore.head(self._store, safe(key))
        except NotFound:
            return False
        return True

    @contextmanager
    def _reached(self, key: str) -> Iterator[None]:
        """Whatever goes wrong on the way, in our own words."""
        try:
            yield
        except FileNotFoundError:
            raise NotFound("blob", key) from None
        except BaseError as error:
            raise StorageUnavailable(f"{self._name}/{key}: {error}") from error
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"no space left for what is fetched from {self._name}") from error
            raise


class _Raw(io.RawIOBase):
    """A reader of obstore as Python's own streams expect one."""

    def __init__(self, reader: obstore.ReadableFile) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed wants the wider Buffer
        chunk = self._reader.read(len(buffer))
        buffer[: len(chunk)] = bytes(chunk)
        return len(chunk)


def _side_by_side(fetch: Callable[[str], object], names: Collection[str]) -> None:
    """So many at a time; raises what the first of them raised that failed."""
    if len(names) < 2:
        for name in names:
            fetch(name)
        return
    with ThreadPoolExecutor(min(len(names), FILES_AT_ONCE), thread_name_prefix="fetch") as pool:
        for _ in pool.map(fetch, names):
            pass


def _is_whole(twin: Path) -> bool:
    """Whether it is there and still what its name says; what is not is thrown away."""
    if not twin.exists():
        return False
    whole = _sha256(twin) == twin.name
    if not whole:
        twin.unlink(missing_ok=True)
    return whole


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
