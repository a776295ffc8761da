"""Data sets: send, look at, delete."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from plinth.client.errors import DatasetRejected, PlinthError
from plinth.client.transport import API, Transport
from plinth.client.types import Dataset, DatasetReport, build
from plinth.client.uploads import OnProgress, Uploads, without_folders

SMALL_BYTES = 8 * 2**20
POLL_SECONDS = 0.2

FilePath = str | Path


class Datasets:
    """`plinth.datasets`."""

    def __init__(self, connection: Transport) -> None:
        self._connection = connection

    def upload(
        self,
        files: FilePath | Sequence[FilePath],
        *,
        name: str | None = None,
        task: str | None = None,
        format: str | None = None,
        columns: Mapping[str, str | int] | None = None,
        splits: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Send files (a folder of class folders is zipped on the way) and make a data set of them.

        What is not said is guessed, and the guess is shown in the report. Its rows are checked afterwards: see `wait`.
        """
        paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
        if missing := [str(path) for path in paths if not path.exists()]:
            raise PlinthError(f"No such file: {', '.join(missing)}.")
        said = {"task": task, "format": format, "columns": columns, "splits": splits}
        options = {"name": name or _name_of(paths), **{key: value for key, value in said.items() if value is not None}}
        with without_folders(paths) as sources:
            if sum(source.stat().st_size for source in sources) <= SMALL_BYTES:
                return self._post_form(sources, options, on_progress)
            uploads = Uploads(self._connection)
            ids = uploads.send(sources, on_progress=on_progress)
            made = self._connection.post(f"{API}/datasets", {**options, "upload": ids})
            uploads.forget(sources)
            return build(Dataset, made)

    def get(self, reference: str) -> Dataset:
        """By id, `name` (the latest that is ready) or `name@version`."""
        return build(Dataset, self._connection.get(f"{API}/datasets/{reference}"))

    def list(self, *, limit: int | None = 50) -> Sequence[Dataset]:
        """The newest; all of them with `limit=None`."""
        return self._connection.listing(Dataset, f"{API}/datasets", limit=limit)

    def report(self, reference: str) -> DatasetReport:
        """Everything that was found in the data, at once."""
        return build(DatasetReport, self._connection.get(f"{API}/datasets/{reference}/report"))

    def preview(self, reference: str, *, split: str | None = None, limit: int = 10) -> Sequence[Mapping[str, Any]]:
        """The first rows, each with `input` (as `predict` takes it) and `target`."""
        rows: Sequence[Mapping[str, Any]] = self._connection.get(
            f"{API}/datasets/{reference}/preview", split=split, limit=limit
        )["data"]
        return rows

    def delete(self, reference: str) -> None:
        """Delete a version and its data; refused while a job needs it."""
        self._connection.delete(f"{API}/datasets/{reference}")

    def wait(self, reference: str, *, timeout_seconds: float | None = None) -> Dataset:
        """Return it once it is ready; raises `DatasetRejected`, with the report, where the data are not good enough."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (dataset := self.get(reference)).is_final:
            if deadline is not None and time.monotonic() > deadline:
                raise PlinthError(f"{dataset.name} is still {dataset.state} after {timeout_seconds:.0f} s.")
            time.sleep(POLL_SECONDS)
        if dataset.state == "rejected":
            raise DatasetRejected(dataset, self.report(dataset.id))
        return dataset

    def _post_form(self, files: Sequence[Path], options: Mapping[str, Any], on_progress: OnProgress | None) -> Dataset:
        fields = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
        with ExitStack() as opened:
            parts = [("file", (file.name, opened.enter_context(file.open("rb")))) for file in files]
            answer = self._connection.send("POST", f"{API}/datasets", data=fields, files=parts)
        if on_progress is not None:
            total = sum(file.stat().st_size for file in files)
            on_progress(total, total)
        return build(Dataset, answer.json())


def _name_of(paths: Sequence[Path]) -> str:
    return paths[0].absolute().name.split(".")[0]
