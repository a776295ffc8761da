"""Job methods of the client: start, follow, control."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2

from plinth.client.datasets import Datasets
from plinth.client.errors import APIError, JobFailed, PlinthError, Unreachable
from plinth.client.transport import API, Transport, drop_none
from plinth.client.types import Checkpoint, Event, Job, License, LogLine, build

POLL_SECONDS = 0.25
STREAM_SILENCE_SECONDS = 40.0  # The service sends at least a comment every 15 s.
RECONNECT_SECONDS = 0.5
RECONNECT_FOR_SECONDS = 60.0

#: Splits of an upload whose rows stay in their order.
ONE_SPLIT: Mapping[str, float] = {"train": 1.0}
#: A name from the catalog, or `{"name": ..., "config": {...}}`.
Choice = str | Mapping[str, Any]


class Jobs:
    """Jobs of a service, at `plinth.jobs`."""

    def __init__(self, transport: Transport, datasets: Datasets) -> None:
        self._transport = transport
        self._datasets = datasets

    def pretrain(
        self,
        dataset: str,
        *,
        model: str,
        objective: Choice,
        architecture: Choice | None = None,
        start_from: str | Mapping[str, str] | None = None,
        schedule: Mapping[str, Any] | None = None,
        seed: int = 0,
        priority: str | None = None,
        **more: Any,
    ) -> Job:
        """Start pretraining of a base model without labels.

        Settings that are left out come from the recipe of the architecture; `more` are further fields of the spec.
        """
        options = {"objective": objective, "architecture": architecture, "start_from": start_from, "schedule": schedule}
        return self.submit(
            {"kind": "pretrain", "dataset": dataset, "model": model, "seed": seed, **drop_none(options), **more},
            priority=priority,
        )

    def finetune(
        self,
        dataset: str,
        *,
        model: str,
        task: Choice,
        start_from: str | Mapping[str, str] | None = None,
        architecture: Choice | None = None,
        tuning: Choice | None = None,
        schedule: Mapping[str, Any] | None = None,
        seed: int = 0,
        priority: str | None = None,
        **more: Any,
    ) -> Job:
        """Start training for a task, from the model `start_from` or from scratch with an `architecture`.

        `start_from` may name a model for each slot, also one of another modality. Settings that are left out come from
        the recipe of the architecture; `more` are further fields of the spec.
        """
        options = {
            "task": task,
            "start_from": start_from,
            "architecture": architecture,
            "tuning": tuning,
            "schedule": schedule,
        }
        return self.submit(
            {"kind": "finetune", "dataset": dataset, "model": model, "seed": seed, **drop_none(options), **more},
            priority=priority,
        )

    def sweep(
        self,
        job: Mapping[str, Any],
        *,
        space: str | Mapping[str, Any] = "auto",
        trials: int | None = None,
        budget: Mapping[str, Any] | None = None,
        strategy: Choice | None = None,
        metric: str | None = None,
        priority: str | None = None,
        **more: Any,
    ) -> Job:
        """Search for the settings of a fine-tuning, and register the best trial.

        `job` is the spec of the fine-tuning; its kind may be left out. `space` names settings by path:
        `{"schedule.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "architecture": ["cnn", "resnet"]}`.
        `budget` limits the trials, their seconds or CPU seconds; `trials` is short for the first. `more` are further
        fields of the spec.
        """
        limits = {**(budget or {}), **drop_none({"trials": trials})}
        options = {"budget": limits or None, "strategy": strategy, "metric": metric}
        return self.submit(
            {"kind": "sweep", "job": {"kind": "finetune", **job}, "space": space, **drop_none(options), **more},
            priority=priority,
        )

    def trials(self, sweep_id: str) -> Sequence[Job]:
        """List the trials of a sweep, the newest first."""
        return self.list(parent=sweep_id, limit=None)

    def export(self, model: str, *, format: str = "huggingface", opset: int | None = None) -> Job:
        """Start an export to a format of another library; `models.download` fetches the result.

        "huggingface" is a folder for transformers. "onnx" is a folder with graphs of the requested `opset` and all
        files that are needed to run them with ONNX Runtime alone.
        """
        return self.submit({"kind": "export", "model": model, "format": format, **drop_none({"opset": opset})})

    def evaluate(self, model: str, dataset: str, *, split: str | None = None, robustness: bool = False) -> Job:
        """Start an evaluation of a model; `report` gets the result.

        Without a `split`, the rows of test are evaluated, or the first split that has rows. With `robustness`,
        corrupted and attacked rows are evaluated, too.
        """
        options = drop_none({"split": split, "robustness": robustness or None})
        return self.submit({"kind": "evaluate", "model": model, "dataset": dataset, **options})

    def reproduce(self, job_id: str) -> Job:
        """Start the repetition of a training job, and compare the weights.

        `report` says whether they are equal, bit for bit. If they are not, it names the first checkpoint and tensor
        that differ, and the likely reason.
        """
        return self.submit({"kind": "reproduce", "job": job_id})

    def recommend_base(self, dataset: str, *, task: Choice | None = None, bases: Sequence[str] | None = None) -> Job:
        """Start the comparison of base models for a dataset; `report` has the ranking under `bases`.

        A linear classifier is trained on the frozen features of each, which takes up to a minute. Without `bases`, all
        base models that fit are compared.
        """
        body = {"dataset": dataset, **drop_none({"task": task, "bases": bases})}
        return build(Job, self._transport.post(f"{API}/bases/recommend", body))

    def prune(
        self,
        model: str,
        dataset: str,
        *,
        operations: float = 0.25,
        result: str | None = None,
        schedule: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Job:
        """Start the pruning of a model: its least important units are removed.

        What remains is trained. `operations` is the fraction of them that remains. The smaller model is registered as
        `result`, by default as the name of the model with `-pruned`. `more` are further fields of the spec.
        """
        options = drop_none({"result": result, "schedule": schedule})
        spec = {"kind": "prune", "model": model, "dataset": dataset, "operations": operations}
        return self.submit({**spec, **options, **more})

    def batch_predict(
        self,
        model: str,
        dataset: str | Path,
        *,
        split: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        format: str = "jsonl",
    ) -> Job:
        """Start the prediction of every row of a dataset, or of one split.

        A `Path` is a file of rows: it is uploaded as a dataset of one split, in the order of the file, and the job
        waits until it is checked. `download_predictions` gets the file of answers. `parameters` are those of `predict`;
        `format` is "jsonl" or "parquet".
        """
        if isinstance(dataset, Path):
            dataset = self._datasets.upload(dataset, splits=ONE_SPLIT).id
        options = drop_none({"split": split, "parameters": parameters})
        return self.submit({"kind": "batch_predict", "model": model, "dataset": dataset, "format": format, **options})

    def download_predictions(
        self, job_id: str, to: str | Path = ".", *, on_progress: Callable[[int], None] | None = None
    ) -> Path:
        """Download the predictions of a job, and return the path of the file.

        `to` is a folder or a file name. While the job runs, and after it was canceled, they are those that are done, as
        JSON lines. Raises `Conflict` before the first rows are done.
        """
        return self._transport.download(f"{API}/jobs/{job_id}/predictions", Path(to), on_progress=on_progress)

    def submit(self, spec: Mapping[str, Any], *, priority: str | None = None) -> Job:
        """Start a job from a complete spec, as JSON.

        `priority` is "high", "normal" (the default) or "low"; "high" needs a key of the scope `admin`.
        """
        return build(Job, self._transport.post(f"{API}/jobs", spec, priority=priority))

    def check(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Validate a spec without starting a job.

        Returns the spec with all defaults filled in. Raises `APIError`, which lists all findings.
        """
        resolved_spec: Mapping[str, Any] = self._validate(spec)["spec"]
        return resolved_spec

    def measure(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure what a training takes, without starting it.

        A few real steps are trained, once for a spec. Returns seconds for a step and for all of them, memory, disk, and
        `warnings` about what is wasteful. Raises `APIError` as `check` does, and `Conflict` where nothing can be
        measured.
        """
        document = self._transport.post(f"{API}/jobs", spec, validate_only=True, measure=True)
        cost: Mapping[str, Any] = document["cost"]
        return cost

    def propose_bases(self, spec: Mapping[str, Any]) -> Sequence[str]:
        """List the registered base models that fit a fine-tuning from scratch, newest first.

        Raises `APIError` as `check` does.
        """
        bases: Sequence[str] = self._validate(spec).get("bases", ())
        return bases

    def licenses(self, spec: Mapping[str, Any]) -> Sequence[License]:
        """List the licenses of the data and models that a spec trains on.

        No job is started. Those that are not known are left out. Raises `APIError` as `check` does.
        """
        return [build(License, row) for row in self._validate(spec).get("licenses", ())]

    def plan_notes(self, spec: Mapping[str, Any]) -> Sequence[str]:
        """List what few rows or large images change about a training.

        No job is started. Raises `APIError` as `check` does.
        """
        notes: Sequence[str] = self._validate(spec).get("notes", ())
        return notes

    def plan(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check a spec, and return what the service answers: spec, notes, epochs, expected time, licenses.

        No job is started. Raises `APIError` as `check` does.
        """
        return self._validate(spec)

    def _validate(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        document: Mapping[str, Any] = self._transport.post(f"{API}/jobs", spec, validate_only=True)
        return document

    def get(self, job_id: str) -> Job:
        """Get a job with its current state and progress."""
        return build(Job, self._transport.get(f"{API}/jobs/{job_id}"))

    def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        kind: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        id_prefix: str | None = None,
        parent: str | None = None,
        owner: str | None = None,
        limit: int | None = 50,
    ) -> Sequence[Job]:
        """List the newest jobs; all of them with `limit=None`.

        The state "paused" selects queued jobs that were paused. `model` is a name or `name@3`, `dataset` a name,
        `name@2` or an id, `owner` the name or id of an API key. The trials of a sweep are listed only with its id as
        `parent`.
        """
        filters = {
            "state": state,
            "kind": kind,
            "model": model,
            "dataset": dataset,
            "id_prefix": id_prefix,
            "parent": parent,
            "owner": owner,
        }
        return self._transport.list_items(Job, f"{API}/jobs", limit=limit, **filters)

    def retry(self, job_id: str, *, priority: str | None = None) -> Job:
        """Start a failed or canceled job again, as a new job with the same spec."""
        return build(Job, self._transport.post(f"{API}/jobs/{job_id}/retry", priority=priority))

    def clone(self, job_id: str, changes: Mapping[str, Any] | None = None, *, priority: str | None = None) -> Job:
        """Start a job like an earlier one, with `changes` merged into its spec.

        None removes a field.

            clone("job_...", {"schedule": {"epochs": 30}, "model": "digits-long"})
        """
        return build(Job, self._transport.post(f"{API}/jobs/{job_id}/clone", dict(changes or {}), priority=priority))

    def update(self, job_id: str, *, priority: str) -> Job:
        """Change the priority of a job that has not ended: "high", "normal" or "low".

        Raises `Conflict` for a job that has ended, and for a trial of a sweep.
        """
        changes = {"priority": priority}
        return build(Job, self._transport.send("PATCH", f"{API}/jobs/{job_id}", json=changes, retry=True).json())

    def delete(self, job_id: str) -> None:
        """Delete an ended job with its logs, metrics, report and checkpoints.

        Raises `Conflict` while it has not ended, and while a model or dataset that it made exists.
        """
        self._transport.delete(f"{API}/jobs/{job_id}")

    def cancel(self, job_id: str) -> Job:
        """Cancel a job and discard its work."""
        return self._request_action(job_id, "cancel")

    def stop(self, job_id: str) -> Job:
        """End training now, restore the best weights, evaluate, and register the model."""
        return self._request_action(job_id, "stop")

    def pause(self, job_id: str) -> Job:
        """Save a checkpoint and release the worker until `resume`."""
        return self._request_action(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Resume a paused job from its checkpoint."""
        return self._request_action(job_id, "resume")

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield the events after id `after`, past and future, until the job has ended.

        After a lost connection or a restart of the service it reconnects; no event is missing or repeated. Raises
        `Unreachable` after 60 s without a connection.
        """
        disconnected_at: float | None = None
        while True:
            try:
                for event in self._stream_events(job_id, after):
                    disconnected_at = None
                    if event is None:
                        return
                    after = event.id
                    yield event
            except (Unreachable, APIError) as error:
                if isinstance(error, APIError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                disconnected_at = disconnected_at or time.monotonic()
                if time.monotonic() - disconnected_at > RECONNECT_FOR_SECONDS:
                    raise Unreachable(
                        f"The service at {self._transport.url} was unreachable for {RECONNECT_FOR_SECONDS:.0f} s: "
                        f"{error}"
                    ) from error
            time.sleep(RECONNECT_SECONDS)

    def metrics(
        self, job_id: str, *, name: str | Sequence[str] | None = None, max_points: int | None = None
    ) -> Mapping[str, Sequence[Sequence[float]]]:
        """Get the metric curves of a job: `{"train/loss": [[step, value], ...]}`."""
        curves: Mapping[str, Sequence[Sequence[float]]] = self._transport.get(
            f"{API}/jobs/{job_id}/metrics", name=name, max_points=max_points
        )
        return curves

    def logs(self, job_id: str, *, limit: int | None = None) -> Sequence[LogLine]:
        """Get the log lines of a job, oldest first: the first `limit`, or all."""
        return self._transport.list_items(LogLine, f"{API}/jobs/{job_id}/logs", limit=limit)

    def checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """List the checkpoints from which the job can resume, the furthest first."""
        return [build(Checkpoint, row) for row in self._transport.get(f"{API}/jobs/{job_id}/checkpoints")["data"]]

    def report(self, job_id: str) -> Mapping[str, Any]:
        """Get the evaluation on the test split, with the trivial baseline."""
        report: Mapping[str, Any] = self._transport.get(f"{API}/jobs/{job_id}/report")
        return report

    def wait(self, job_id: str, *, timeout_seconds: float | None = None) -> Job:
        """Wait until a job has succeeded, and return it.

        Raises `JobFailed`, with the job, if it failed or was canceled, and `PlinthError` after `timeout_seconds`.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (job := self.get(job_id)).is_final:
            if deadline is not None and time.monotonic() > deadline:
                raise PlinthError(
                    f"Job {job_id} is still {job.state} after {timeout_seconds:.0f} s. "
                    "Call wait again, or set a longer timeout_seconds."
                )
            time.sleep(POLL_SECONDS)
        if job.state != "succeeded":
            raise JobFailed(job)
        return job

    def _stream_events(self, job_id: str, after: int) -> Iterator[Event | None]:
        """Yield the events of one connection, and None at the end of the job."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        path = f"{API}/jobs/{job_id}/events"
        with self._transport.stream("GET", path, headers=headers, timeout=STREAM_SILENCE_SECONDS) as response:
            for message in httpx2.EventSource(response):
                if message.event == "end":
                    yield None
                    return
                document = message.json()
                if isinstance(document, dict):
                    yield build(Event, document)

    def _request_action(self, job_id: str, action: str) -> Job:
        return build(Job, self._transport.send("POST", f"{API}/jobs/{job_id}/{action}").json())
