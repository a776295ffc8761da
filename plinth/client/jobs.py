"""Jobs: start, follow, steer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx2

from plinth.client.errors import APIError, JobFailed, PlinthError, Unreachable
from plinth.client.transport import API, Transport
from plinth.client.types import Event, Job, build

POLL_SECONDS = 0.25
STREAM_SILENCE_SECONDS = 40.0  # The service says something every 15 s.
RECONNECT_SECONDS = 0.5
RECONNECT_FOR_SECONDS = 60.0

Choice = str | Mapping[str, Any]
"""A name from the catalogue, or `{"name": ..., "config": {...}}`."""


class Jobs:
    """`plinth.jobs`."""

    def __init__(self, connection: Transport) -> None:
        self._connection = connection

    def pretrain(
        self,
        dataset: str,
        *,
        model: str,
        objective: Choice,
        architecture: Choice | None = None,
        start_from: str | None = None,
        schedule: Mapping[str, Any] | None = None,
        seed: int = 0,
        **more: Any,
    ) -> Job:
        """Learn a base model without labels. What is not said is filled in from the architecture's recipe."""
        said = {"objective": objective, "architecture": architecture, "start_from": start_from, "schedule": schedule}
        return self.submit(
            {"kind": "pretrain", "dataset": dataset, "model": model, "seed": seed, **_said(said), **more}
        )

    def finetune(
        self,
        dataset: str,
        *,
        model: str,
        task: Choice,
        start_from: str | None = None,
        architecture: Choice | None = None,
        tuning: Choice | None = None,
        schedule: Mapping[str, Any] | None = None,
        seed: int = 0,
        **more: Any,
    ) -> Job:
        """Fit a network to a task: `start_from` a model, or from scratch by an `architecture`."""
        said = {
            "task": task,
            "start_from": start_from,
            "architecture": architecture,
            "tuning": tuning,
            "schedule": schedule,
        }
        return self.submit(
            {"kind": "finetune", "dataset": dataset, "model": model, "seed": seed, **_said(said), **more}
        )

    def export(self, model: str, *, format: str = "huggingface", opset: int | None = None) -> Job:
        """Make a folder of a model that another library loads; `models.download` fetches it once the job is done.

        "onnx" is graphs with all it takes to run them by ONNX Runtime alone, of the `opset` asked for.
        """
        return self.submit({"kind": "export", "model": model, "format": format, **_said({"opset": opset})})

    def submit(self, spec: Mapping[str, Any]) -> Job:
        """Start whatever the contract allows, as JSON."""
        return build(Job, self._connection.post(f"{API}/jobs", spec))

    def check(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Start nothing; the spec with every default filled in. Raises `APIError` with all that is wrong at once."""
        checked: Mapping[str, Any] = self._connection.post(f"{API}/jobs", spec, validate_only=True)["spec"]
        return checked

    def get(self, job_id: str) -> Job:
        """How it stands now."""
        return build(Job, self._connection.get(f"{API}/jobs/{job_id}"))

    def list(self, *, state: str | None = None, kind: str | None = None, limit: int | None = 50) -> Sequence[Job]:
        """The newest; all of them with `limit=None`."""
        return self._connection.listing(Job, f"{API}/jobs", limit=limit, state=state, kind=kind)

    def cancel(self, job_id: str) -> Job:
        """End it and keep nothing."""
        return self._ask(job_id, "cancel")

    def stop(self, job_id: str) -> Job:
        """End training now, restore the best weights, evaluate, register the model."""
        return self._ask(job_id, "stop")

    def pause(self, job_id: str) -> Job:
        """Save a checkpoint and wait, without a worker."""
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Go on from the checkpoint."""
        return self._ask(job_id, "resume")

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Everything that happened since event `after` and that happens, until the job has ended.

        A broken line, or a service that is started again, is come back to, without a gap and without a repetition.
        """
        broken_since: float | None = None
        while True:
            try:
                for event in self._one_stream(job_id, after):
                    broken_since = None
                    if event is None:
                        return
                    after = event.id
                    yield event
            except (Unreachable, APIError) as error:
                if isinstance(error, APIError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                broken_since = broken_since or time.monotonic()
                if time.monotonic() - broken_since > RECONNECT_FOR_SECONDS:
                    raise Unreachable(f"The service at {self._connection.url} is gone: {error}") from error
            time.sleep(RECONNECT_SECONDS)

    def metrics(
        self, job_id: str, *, name: str | Sequence[str] | None = None, max_points: int | None = None
    ) -> Mapping[str, Sequence[Sequence[float]]]:
        """Curves: `{"train/loss": [[step, value], ...]}`."""
        curves: Mapping[str, Sequence[Sequence[float]]] = self._connection.get(
            f"{API}/jobs/{job_id}/metrics", name=name, max_points=max_points
        )
        return curves

    def report(self, job_id: str) -> Mapping[str, Any]:
        """The evaluation on the test split, beside the trivial baseline."""
        report: Mapping[str, Any] = self._connection.get(f"{API}/jobs/{job_id}/report")
        return report

    def wait(self, job_id: str, *, timeout_seconds: float | None = None) -> Job:
        """Return the job once it succeeded; raises `JobFailed`, which has it, where it failed or was cancelled."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (job := self.get(job_id)).is_final:
            if deadline is not None and time.monotonic() > deadline:
                raise PlinthError(f"{job_id} is still {job.state} after {timeout_seconds:.0f} s.")
            time.sleep(POLL_SECONDS)
        if job.state != "succeeded":
            raise JobFailed(job)
        return job

    def _one_stream(self, job_id: str, after: int) -> Iterator[Event | None]:
        """The events of one connection; None at the end of the job."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        path = f"{API}/jobs/{job_id}/events"
        with self._connection.stream("GET", path, headers=headers, timeout=STREAM_SILENCE_SECONDS) as answer:
            for message in httpx2.EventSource(answer):
                if message.event == "end":
                    yield None
                    return
                document = message.json()
                if isinstance(document, dict):
                    yield build(Event, document)

    def _ask(self, job_id: str, request: str) -> Job:
        return build(Job, self._connection.send("POST", f"{API}/jobs/{job_id}/{request}").json())


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
