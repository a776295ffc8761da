"""The Python client: everything the service can do, typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plinth.client import home
from plinth.client.datasets import Datasets
from plinth.client.errors import PlinthError
from plinth.client.jobs import Jobs
from plinth.client.keys import Keys
from plinth.client.models import Models
from plinth.client.transport import API, Transport
from plinth.client.types import Prediction, build

One = Mapping[str, Any] | str | Path | bytes
"""An input as JSON has it, or a file by its path or its content."""


class Plinth:
    """A service, by its address and a key.

    Both are found by themselves on the machine where `plinth up` runs, and in `PLINTH_URL` and `PLINTH_API_KEY`.

        plinth = Plinth()
        plinth.datasets.wait(plinth.datasets.upload("digits.zip").id)
        job = plinth.jobs.finetune("digits", task="image_classification", architecture="cnn", model="digits")
        plinth.jobs.wait(job.id)
        print(plinth.predict("digits", "seven.png").output["label"])
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, timeout_seconds: float = 30.0) -> None:
        url = url or home.service_url()
        self._connection = Transport(url, api_key or home.api_key(url), timeout_seconds=timeout_seconds)
        self.datasets = Datasets(self._connection)
        self.jobs = Jobs(self._connection)
        self.models = Models(self._connection)
        self.keys = Keys(self._connection)

    @property
    def url(self) -> str:
        """The service's address."""
        return self._connection.url

    def catalog(self) -> Mapping[str, Any]:
        """What can be trained: tasks, architectures, objectives, tunings, formats, and what fits what."""
        catalog: Mapping[str, Any] = self._connection.get(f"{API}/catalog")
        return catalog

    def system(self) -> Mapping[str, Any]:
        """Version, devices and why, workers, queue depth."""
        system: Mapping[str, Any] = self._connection.get(f"{API}/system")
        return system

    def predict(
        self, model: str, inputs: One | Sequence[One], *, parameters: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Ask a model (`name`, `name@3`, `name@alias`) about one input or several; files are sent as they are."""
        several = [inputs] if isinstance(inputs, Mapping | str | Path | bytes) else list(inputs)
        mappings = [one for one in several if isinstance(one, Mapping)]
        if len(mappings) == len(several):
            body = {"inputs": mappings, "parameters": parameters or {}}
            return build(Prediction, self._connection.send("POST", f"/predict/{model}", json=body, again=True).json())
        files = [one for one in several if not isinstance(one, Mapping)]
        if mappings:
            raise PlinthError("Send either files or JSON inputs, not both at once.")
        return self._predict_files(model, files, parameters or {})

    def close(self) -> None:
        """Let go of the line."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _predict_files(
        self, model: str, files: Sequence[str | Path | bytes], parameters: Mapping[str, Any]
    ) -> Prediction:
        if missing := [str(file) for file in files if not isinstance(file, bytes) and not Path(file).is_file()]:
            raise PlinthError(f"No such file: {', '.join(missing)}.")
        with ExitStack() as opened:
            parts = [
                ("file", ("input", file))
                if isinstance(file, bytes)
                else ("file", (Path(file).name, opened.enter_context(Path(file).open("rb"))))
                for file in files
            ]
            fields = {"parameters": json.dumps(parameters)}
            answer = self._connection.send("POST", f"/predict/{model}", data=fields, files=parts)
        return build(Prediction, answer.json())
