"""Python client for the HTTP API, with typed results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from plinth.client import home
from plinth.client.datasets import Datasets
from plinth.client.disk import Disk
from plinth.client.errors import PlinthError, no_such_file
from plinth.client.feedback import FeedbackRows
from plinth.client.jobs import Jobs
from plinth.client.keys import Keys
from plinth.client.models import Models
from plinth.client.transport import API, Transport
from plinth.client.types import REQUEST_ID, Prediction, build
from plinth.client.webhooks import Webhooks

if TYPE_CHECKING:
    import httpx2

#: One model input: a JSON object, or a file as its path or its content.
Input = Mapping[str, Any] | str | Path | bytes


class Plinth:
    """Client of one service, with its URL and an API key.

    Without arguments it reads `PLINTH_URL` and `PLINTH_API_KEY`, or connects to the service that `plinth up` runs on
    this machine.

        plinth = Plinth()
        plinth.datasets.wait(plinth.datasets.upload("digits.zip").id)
        job = plinth.jobs.finetune("digits", task="image_classification", architecture="cnn", model="digits")
        plinth.jobs.wait(job.id)
        print(plinth.predict("digits", "seven.png").output["label"])
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        url = url or home.service_url()
        self._transport = Transport(url, api_key or home.api_key(url), timeout_seconds=timeout_seconds)
        self.datasets = Datasets(self._transport)
        self.jobs = Jobs(self._transport, self.datasets)
        self.models = Models(self._transport)
        self.feedback = FeedbackRows(self._transport)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.disk = Disk(self._transport)

    @property
    def url(self) -> str:
        """URL of the service, without a trailing slash."""
        return self._transport.url

    def catalog(self) -> Mapping[str, Any]:
        """Get the catalog of tasks, architectures, objectives, tunings, formats and their combinations."""
        catalog: Mapping[str, Any] = self._transport.get(f"{API}/catalog")
        return catalog

    def system(self) -> Mapping[str, Any]:
        """Get version, device and the reason for it, workers and queue depth."""
        system: Mapping[str, Any] = self._transport.get(f"{API}/system")
        return system

    def sign_in_link(self) -> str:
        """Create a URL that signs a browser in, once and within 15 minutes."""
        return self.url + str(self._transport.send("POST", "/login/links").json()["path"])

    def job_counts(self) -> dict[str, int]:
        """Get the number of jobs in each state, without validations of datasets."""
        counts: dict[str, int] = self._transport.get(f"{API}/system", device=False)["jobs"]
        return counts

    def predict(
        self,
        model: str,
        inputs: Input | Sequence[Input],
        *,
        parameters: Mapping[str, Any] | None = None,
        budget_ms: float | None = None,
    ) -> Prediction:
        """Run a model on one input or several; files are sent unchanged.

        `model` is `name`, `name@3` or `name@alias`. With `budget_ms`, a model of several nested sizes answers with the
        largest that is in time, and `size` says which.

        Raises `PlinthError` for a missing file, and where files and JSON inputs are mixed.
        """
        input_list = [inputs] if isinstance(inputs, Mapping | str | Path | bytes) else list(inputs)
        path = f"/predict/{model}" if budget_ms is None else f"/predict/{model}?budget_ms={budget_ms:g}"
        mappings = [item for item in input_list if isinstance(item, Mapping)]
        if len(mappings) == len(input_list):
            body = {"inputs": mappings, "parameters": parameters or {}}
            return _to_prediction(self._transport.send("POST", path, json=body, retry=True))
        files = [item for item in input_list if not isinstance(item, Mapping)]
        if mappings:
            raise PlinthError("Files and JSON inputs cannot be mixed. Send them in separate calls.")
        return self._predict_files(path, files, parameters or {})

    def close(self) -> None:
        """Close the connections to the service."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _predict_files(
        self, path: str, files: Sequence[str | Path | bytes], parameters: Mapping[str, Any]
    ) -> Prediction:
        if missing := [file for file in files if not isinstance(file, bytes) and not Path(file).is_file()]:
            raise no_such_file(*missing)
        with ExitStack() as open_files:
            parts = [
                ("file", ("input", file))
                if isinstance(file, bytes)
                else ("file", (Path(file).name, open_files.enter_context(Path(file).open("rb"))))
                for file in files
            ]
            fields = {"parameters": json.dumps(parameters)}
            return _to_prediction(self._transport.send("POST", path, data=fields, files=parts))


def _to_prediction(response: httpx2.Response) -> Prediction:
    prediction = build(Prediction, response.json())
    object.__setattr__(prediction, REQUEST_ID, response.headers.get("x-request-id", ""))
    return prediction
