"""Dataset methods of the client: upload, read, delete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from plinth.client.errors import DatasetRejected, PlinthError, no_such_file
from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Dataset, DatasetReport, FindingRow, Mistake, ModelEvaluation, build
from plinth.client.uploads import OnProgress, Uploads, zip_folders

MAX_FORM_BYTES = 8 * 2**20
POLL_SECONDS = 0.2

FilePath = str | Path


class Datasets:
    """`plinth.datasets`. A reference is an id, `name` (the latest ready version) or `name@version`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self,
        files: FilePath | Sequence[FilePath],
        *,
        name: str | None = None,
        task: str | None = None,
        format: str | None = None,
        columns: Mapping[str, str | int] | None = None,
        splits: Mapping[str, Any] | None = None,
        quoting: str | None = None,
        license: str | None = None,
        append: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Upload the files of one dataset and create it; a folder is a zip.

        With `append`, the rows of the latest ready version of `name` come first.

        Options that are left out are guessed, and the report contains the guess. `quoting` is `none` for tables whose
        quotes are characters, as corpora of sentences have them. The service checks the rows
        afterwards: see `wait`. Up to 8 MiB go in one request, larger files as resumable uploads. Raises `PlinthError`
        for a missing file, and for `append` without a `name`.
        """
        paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
        if missing := [path for path in paths if not path.exists()]:
            raise no_such_file(*missing)
        options = drop_none(
            {
                "name": name or _default_name(paths, append=append),
                "task": task,
                "format": format,
                "columns": columns,
                "splits": splits,
                "quoting": quoting,
                "license": license,
                "append": append or None,
            }
        )
        with zip_folders(paths) as sources:
            return self._send(sources, options, on_progress)

    def get(self, reference: str) -> Dataset:
        """Get a dataset version by id, `name` (the latest ready version) or `name@version`."""
        return build(Dataset, self._transport.get(f"{API}/datasets/{reference}"))

    def list(
        self, *, name: str | None = None, id_prefix: str | None = None, limit: int | None = 50
    ) -> Sequence[Dataset]:
        """List the newest versions of datasets, or of one `name`; all with `limit=None`."""
        return self._transport.list_items(Dataset, f"{API}/datasets", limit=limit, name=name, id_prefix=id_prefix)

    def report(self, reference: str) -> DatasetReport:
        """Get all issues that the check reported for a dataset."""
        return build(DatasetReport, self._transport.get(f"{API}/datasets/{reference}/report"))

    def finding_rows(self, reference: str, code: str, *, limit: int | None = None) -> Sequence[FindingRow]:
        """List the rows of a finding of the report; all of them with `limit=None`."""
        return self._transport.list_items(FindingRow, f"{API}/datasets/{reference}/findings/{code}", limit=limit)

    def derive(
        self, reference: str, operations: Sequence[Mapping[str, Any]] | Mapping[str, Any], *, name: str | None = None
    ) -> Dataset:
        """Make the next version of a dataset by operations on its rows.

        The dataset stays as it is. An operation is like `{"operation": "drop_rows", "finding": "duplicate_rows"}`; the
        report has suggestions as `fixes`. The service applies them in a job: see `wait`. `name` is that of the new
        dataset, if it is another.
        """
        body = {"operations": [operations] if isinstance(operations, Mapping) else list(operations)}
        document = self._transport.post(f"{API}/datasets/{reference}/derive", {**body, **drop_none({"name": name})})
        return build(Dataset, document)

    def preview(
        self,
        reference: str,
        *,
        split: str | None = None,
        start: int | None = None,
        limit: int = 10,
        order: Literal["stored", "mixed"] | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Get rows from position `start` on: `input` in the form that `predict` accepts, and `target`.

        `order="mixed"` spreads them over the whole split, since rows are often stored class by class.
        """
        rows: Sequence[Mapping[str, Any]] = self._transport.get(
            f"{API}/datasets/{reference}/preview", split=split, start=start, limit=limit, order=order
        )["data"]
        return rows

    def delete(self, reference: str) -> None:
        """Delete one version (`name@2` or its id), or with the bare name all versions.

        Raises `Conflict` while a job needs one of them; then none is deleted.
        """
        self._transport.delete(f"{API}/datasets/{reference}")

    def evaluations(self, dataset: str, *, limit: int | None = 50) -> Sequence[ModelEvaluation]:
        """List the evaluations of models on a version, newest first; `jobs.report` gets all of one."""
        return self._transport.list_items(ModelEvaluation, f"{API}/datasets/{dataset}/evaluations", limit=limit)

    def mistakes(self, dataset: str, job_id: str, *, limit: int | None = 50) -> Sequence[Mistake]:
        """List the rows where an evaluated model is wrong, the surest first."""
        path = f"{API}/datasets/{dataset}/evaluations/{job_id}/mistakes"
        return self._transport.list_items(Mistake, path, limit=limit)

    def wait(
        self,
        reference: str,
        *,
        timeout_seconds: float | None = None,
        on_progress: Callable[[Dataset], None] = lambda _: None,
    ) -> Dataset:
        """Wait until a dataset is ready, and return it.

        `on_progress` is called with its state now and then. Raises `DatasetRejected`, with the report, if the check
        rejected the data, and `PlinthError` after `timeout_seconds`.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (dataset := self.get(reference)).is_final:
            if deadline is not None and time.monotonic() > deadline:
                raise PlinthError(
                    f"Dataset {dataset.name} is still {dataset.state} after {timeout_seconds:.0f} s. "
                    "Call wait again, or set a longer timeout_seconds."
                )
            on_progress(dataset)
            time.sleep(POLL_SECONDS)
        if dataset.state == "rejected":
            raise DatasetRejected(dataset, self.report(dataset.id))
        return dataset

    def _send(self, sources: Sequence[Path], options: Mapping[str, Any], on_progress: OnProgress | None) -> Dataset:
        if sum(source.stat().st_size for source in sources) <= MAX_FORM_BYTES:
            return self._post_form(sources, options, on_progress)
        uploads = Uploads(self._transport)
        ids = uploads.send(sources, on_progress=on_progress)
        document = self._transport.post(f"{API}/datasets", {**options, "upload": ids})
        uploads.forget(sources)
        return build(Dataset, document)

    def _post_form(self, files: Sequence[Path], options: Mapping[str, Any], on_progress: OnProgress | None) -> Dataset:
        fields = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
        with ExitStack() as open_files:
            parts = [("file", (file.name, open_files.enter_context(file.open("rb")))) for file in files]
            response = self._transport.send("POST", f"{API}/datasets", data=fields, files=parts)
        if on_progress is not None:
            total = sum(file.stat().st_size for file in files)
            on_progress(total, total)
        return build(Dataset, response.json())


def _default_name(paths: Sequence[Path], *, append: bool) -> str:
    if append:
        raise PlinthError("An append has no dataset. Name the one to append to.")
    return paths[0].absolute().name.split(".")[0]
