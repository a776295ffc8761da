"""Model methods of the client: import, read, alias, download, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plinth.client.errors import PlinthError, no_such_file
from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Alias, Job, Model, ModelEvaluation, ModelVersion, TrafficSplit, Watch, build
from plinth.client.uploads import OnProgress, Uploads, zip_folders


class Models:
    """`plinth.models`. A reference is `name` (`production`, else the latest), `name@3` or `name@alias`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, limit: int | None = 50) -> Sequence[Model]:
        """List the newest models; all of them with `limit=None`."""
        return self._transport.list_items(Model, f"{API}/models", limit=limit)

    def get(self, reference: str) -> ModelVersion:
        """Get one version, with its metrics, files and lineage."""
        return build(ModelVersion, self._transport.get(self._resolve_path(reference)))

    def evaluations(self, model: str, *, limit: int | None = 50) -> Sequence[ModelEvaluation]:
        """List the evaluations of a version, newest first; `jobs.report` gets all of one."""
        version = self.get(model)
        path = f"{API}/models/{version.name}/versions/{version.version}/evaluations"
        return self._transport.list_items(ModelEvaluation, path, limit=limit)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """List all versions of a model, newest first."""
        return self._transport.list_items(ModelVersion, f"{API}/models/{name}/versions", limit=None)

    def signature(self, reference: str) -> Mapping[str, Any]:
        """Get the JSON schemas of the input and output, with an example."""
        signature: Mapping[str, Any] = self._transport.get(f"{self._resolve_path(reference)}/signature")
        return signature

    def import_(
        self,
        file: str | Path,
        *,
        name: str | None = None,
        task: str | None = None,
        labels: Sequence[str] | None = None,
        license: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Job:
        """Upload a model that was trained elsewhere, and start the job that imports it.

        `file` is a Hugging Face folder or a zip of one, a downloaded package, or an `.onnx` file with its `task` and
        `labels`. Wait for the job with `jobs.wait`. Raises `PlinthError` for a missing file.
        """
        path = Path(file)
        if not path.exists():
            raise no_such_file(path)
        default_name = path.absolute().name.split(".")[0]
        options = drop_none({"name": name or default_name, "task": task, "labels": labels, "license": license})
        with zip_folders([path]) as (source,):
            uploads = Uploads(self._transport)
            [upload_id] = uploads.send([source], on_progress=on_progress)
            document = self._transport.post(f"{API}/models/import", {**options, "upload": upload_id})
            uploads.forget([source])
        return build(Job, document)

    def set_alias(self, name: str, alias: str, version: int, *, if_match: str | None = None) -> Alias:
        """Point an alias at a version.

        With `if_match` the alias moves only if it still has this `etag`; otherwise `Conflict` is raised.
        """
        headers = {"If-Match": if_match} if if_match else {}
        path = f"{API}/models/{name}/aliases/{alias}"
        return build(Alias, self._transport.send("PUT", path, json={"version": version}, headers=headers).json())

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; its version remains."""
        self._transport.delete(f"{API}/models/{name}/aliases/{alias}")

    def set_split(self, reference: str, alias: str, *, weight: float, mode: str = "canary") -> TrafficSplit:
        """Send part of an alias's requests to a second version.

        A `canary` answers them; a `shadow` gets copies, and its answers are only counted.
        """
        version = self.get(reference)
        body = {"version": version.version, "mode": mode, "weight": weight}
        path = f"{API}/models/{version.name}/aliases/{alias}/split"
        return build(TrafficSplit, self._transport.send("PUT", path, json=body).json())

    def get_split(self, name: str, alias: str = "production") -> TrafficSplit:
        """Get the traffic of an alias, with figures of both versions."""
        return build(TrafficSplit, self._transport.get(f"{API}/models/{name}/aliases/{alias}/split"))

    def delete_split(self, name: str, alias: str = "production") -> None:
        """Send all requests to the version of the alias again."""
        self._transport.delete(f"{API}/models/{name}/aliases/{alias}/split")

    def set_watch(
        self,
        name: str,
        *,
        keep: str = "rows",
        fraction: float = 0.1,
        drift: str | Sequence[str] = "auto",
        gate: str | Mapping[str, Any] = "auto",
        then: str = "tell",
        **options: Any,
    ) -> Watch:
        """Record a fraction of a model's answers, look for drift, and say what follows.

        `keep` is `off`, `sketches` or `rows`; `then` is `tell`, `train` or `promote`. `options` are further fields,
        such as `alias`, `dataset`, `min_feedback`, `training`, `max_rows`, `max_bytes` and `max_days`.
        """
        body = {"keep": keep, "fraction": fraction, "drift": drift, "gate": gate, "then": then, **options}
        return build(Watch, self._transport.send("PUT", f"{API}/models/{name}/watch", json=body).json())

    def get_watch(self, name: str) -> Watch:
        """Get what is recorded of a model's requests, with the state of its drift tests."""
        return build(Watch, self._transport.get(f"{API}/models/{name}/watch"))

    def delete_watch(self, name: str) -> None:
        """Record nothing any more, and delete all records of requests; feedback stays."""
        self._transport.delete(f"{API}/models/{name}/watch")

    def download(
        self,
        reference: str,
        to: str | Path = ".",
        *,
        file: str | None = None,
        format: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Path:
        """Download the package as a zip, or one `file` of it, and return the path.

        `to` is a folder or a file name. With `format` ("huggingface", "onnx") it downloads the result of an earlier
        `jobs.export`. `on_progress` is called with the bytes received so far.
        """
        version = self.get(reference)
        target = Path(to)
        if target.is_dir():
            suffix = f"-{format}.zip" if format else ".zip"
            target /= Path(file).name if file else f"{version.name}-{version.version}{suffix}"
        parameters = drop_none({"file": file, "format": format})
        path = f"{API}/models/{version.name}/versions/{version.version}/download"
        return self._transport.download(path, target, on_progress=on_progress, params=parameters)

    def delete(self, reference: str) -> None:
        """Delete one version (`name@3`), or with the bare name all versions."""
        name, _, version = reference.partition("@")
        if version and not version.isdecimal():
            raise PlinthError(f"A model cannot be deleted by an alias. Name the version, like {name}@1.")
        self._transport.delete(f"{API}/models/{name}/versions/{version}" if version else f"{API}/models/{name}")

    def _resolve_path(self, reference: str) -> str:
        """Return the URL path of a version. Raises `PlinthError` for an unknown alias."""
        name, _, version = reference.partition("@")
        if version.isdecimal():
            return f"{API}/models/{name}/versions/{version}"
        model = build(Model, self._transport.get(f"{API}/models/{name}"))
        alias = version or "production"
        if version and version not in model.aliases:
            existing = ", ".join(sorted(model.aliases)) or "none"
            message = f"The model {name} has no alias {version!r}. Existing aliases: {existing}."
            raise PlinthError(f"{message} Name one, or a version, like {name}@{model.latest_version}.")
        return f"{API}/models/{name}/versions/{model.aliases.get(alias, model.latest_version)}"
