"""Models: bring, look at, name, download, delete."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plinth.client.errors import PlinthError
from plinth.client.transport import API, Transport
from plinth.client.types import Alias, Job, Model, ModelVersion, build
from plinth.client.uploads import OnProgress, Uploads, without_folders


class Models:
    """`plinth.models`. A reference is `name` (production, else the latest), `name@3` or `name@alias`."""

    def __init__(self, connection: Transport) -> None:
        self._connection = connection

    def list(self, *, limit: int | None = 50) -> Sequence[Model]:
        """The newest; all of them with `limit=None`."""
        return self._connection.listing(Model, f"{API}/models", limit=limit)

    def get(self, reference: str) -> ModelVersion:
        """One version, with its metrics, files and lineage."""
        return build(ModelVersion, self._connection.get(self._path(reference)))

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """All versions, newest first."""
        return self._connection.listing(ModelVersion, f"{API}/models/{name}/versions", limit=None)

    def signature(self, reference: str) -> Mapping[str, Any]:
        """JSON schemas of its input and output, with an example."""
        signature: Mapping[str, Any] = self._connection.get(f"{self._path(reference)}/signature")
        return signature

    def import_(
        self,
        file: str | Path,
        *,
        name: str | None = None,
        task: str | None = None,
        labels: Sequence[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Send a model that was trained elsewhere; gives the job that makes it one of the service's: see `jobs.wait`.

        `file` is a Hugging Face folder or a zip of one, a package that was downloaded, or an `.onnx` file with its
        `task` and `labels`.
        """
        path = Path(file)
        if not path.exists():
            raise PlinthError(f"No such file: {path}.")
        options = {"name": name or path.absolute().name.split(".")[0], "task": task, "labels": labels}
        said = {key: value for key, value in options.items() if value is not None}
        with without_folders([path]) as (source,):
            uploads = Uploads(self._connection)
            [upload_id] = uploads.send([source], on_progress=on_progress)
            made = self._connection.post(f"{API}/models/import", {**said, "upload": upload_id})
            uploads.forget([source])
        return build(Job, made)

    def set_alias(self, name: str, alias: str, version: int, *, if_match: str | None = None) -> Alias:
        """Point an alias at a version; with `if_match` only while it still has that `etag`, else `Conflict`."""
        headers = {"If-Match": if_match} if if_match else {}
        path = f"{API}/models/{name}/aliases/{alias}"
        return build(Alias, self._connection.send("PUT", path, json={"version": version}, headers=headers).json())

    def delete_alias(self, name: str, alias: str) -> None:
        """Forget an alias; its version stays."""
        self._connection.delete(f"{API}/models/{name}/aliases/{alias}")

    def download(
        self,
        reference: str,
        to: str | Path = ".",
        *,
        file: str | None = None,
        format: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Path:
        """Save the package as a zip, or one `file` of it, into a folder or under a name; gives where it is.

        With a `format` ("huggingface", "onnx") for another library: `jobs.export` has to have made that.
        `on_progress` is called with the bytes received so far.
        """
        version = self.get(reference)
        target = Path(to)
        if target.is_dir():
            suffix = f"-{format}.zip" if format else ".zip"
            target /= Path(file).name if file else f"{version.name}-{version.version}{suffix}"
        wanted = {key: value for key, value in (("file", file), ("format", format)) if value is not None}
        path = f"{API}/models/{version.name}/versions/{version.version}/download"
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with (
                self._connection.stream("GET", path, params=wanted) as answer,
                unfinished.open("wb") as saved,
            ):
                for piece in answer.iter_bytes():
                    saved.write(piece)
                    if on_progress is not None:
                        on_progress(saved.tell())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        return target

    def delete(self, reference: str) -> None:
        """Delete one version (`name@3`), or by the bare name all of them."""
        name, _, version = reference.partition("@")
        if version and not version.isdecimal():
            raise PlinthError(f"Deleting by an alias is not possible; name the version, like {name}@1.")
        self._connection.delete(f"{API}/models/{name}/versions/{version}" if version else f"{API}/models/{name}")

    def _path(self, reference: str) -> str:
        name, _, version = reference.partition("@")
        if version.isdecimal():
            return f"{API}/models/{name}/versions/{version}"
        model = build(Model, self._connection.get(f"{API}/models/{name}"))
        wanted = version or "production"
        if version and version not in model.aliases:
            known = ", ".join(sorted(model.aliases)) or "none"
            raise PlinthError(f"The model {name} has no alias {version!r}; known: {known}.")
        return f"{API}/models/{name}/versions/{model.aliases.get(wanted, model.latest_version)}"
