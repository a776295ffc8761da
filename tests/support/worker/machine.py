"""A machine with broker, database, blobs and workers, to kill separately."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
from sklearn.datasets import load_digits

import app
import worker
from migrations.__main__ import upgrade
from plinth.local.broker import EmbeddedBroker
from store import database, datasets, job_events, jobs, models, notifications, workers
from store.blobs import blobs
from store.database import reading, transaction
from store.settings import store_settings
from store.tables import Dataset, Job, JobKind, Model
from tests.support.worker.waiting import PATIENCE_SECONDS, until
from worker.job_kinds import PROGRAMS

#: Settings with which a service notices within a second what otherwise takes half a minute.
QUICK = {
    "OMP_NUM_THREADS": "1",
    "PLINTH_CRASH_BACKOFF_SECONDS": "0.1",
    "PLINTH_DEVICE": "cpu",
    "PLINTH_FREE_SPACE_FLOOR_BYTES": "0",
    "PLINTH_HEARTBEAT_SECONDS": "0.5",
    "PLINTH_LEASE_SECONDS": "3",
    "PLINTH_RECONCILE_SECONDS": "0.2",
    "PLINTH_REQUEST_SECONDS": "0.2",
    "PLINTH_SPACE_BACKOFF_SECONDS": "0.5",
}


ROWS = 640


def write_digits(folder: Path) -> list[Path]:
    """Write scikit-learn's handwritten digits in the format of MNIST."""
    digits = load_digits()
    images = (digits.images[:ROWS] * 255 / 16).astype(np.uint8)
    labels = digits.target[:ROWS].astype(np.uint8)
    paths = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    paths[0].write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape) + images.tobytes())
    paths[1].write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + labels.tobytes())
    return list(paths)


class Machine:
    """A machine.

    The settings of the test process name it too, so that it can use `store` as the API does.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.broker = EmbeddedBroker(folder / "broker")
        self.workers: list[subprocess.Popen[bytes]] = []
        self._variables = {"PLINTH_HOME": str(self.home), **QUICK, **variables}
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        self._variables["PLINTH_REDIS_URL"] = self.broker.start()
        for name in [name for name in os.environ if name.startswith("PLINTH_")]:
            self._patch.delenv(name)
        for name, value in self._variables.items():
            self._patch.setenv(name, value)
        self._forget()
        with database.engine().begin() as connection:
            upgrade(connection)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.workers:
            process.kill()
            process.wait()
        self.broker.stop()
        database.engine().dispose()
        self._patch.undo()
        self._forget()

    def _forget(self) -> None:
        for cached in (store_settings, database.engine, database.sessions, blobs, notifications.producer_app):
            cached.cache_clear()

    def kill_everything(self) -> None:
        """Kill all processes that the test started, as a power cut would."""
        for process in self.workers:
            process.kill()
        self.broker.kill()
        for process in self.workers:
            process.wait()

    def start_worker(
        self, *, descriptors: tuple[int, ...] = (), module: str = worker.__name__, **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker, whose program is `module`.

        It may not be ready yet when this returns.
        """
        return self._start(module, descriptors, **variables)

    def workers_alive(self) -> bool:
        """Return whether a worker has sent a heartbeat."""
        with reading() as session:
            return bool(workers.list_alive(session))

    def start_api(self, port: int) -> subprocess.Popen[bytes]:
        """Start an API process; it is ready when this returns."""
        api = self._start(app.__name__, (), PLINTH_PORT=str(port), PLINTH_API_KEY="the key of this machine")
        until(lambda: _answers(port))
        return api

    def _start(self, module: str, descriptors: tuple[int, ...], **variables: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}-{len(self.workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
            )
        self.workers.append(process)
        return process

    def submit(self, spec: dict[str, Any], *, dataset_id: str | None) -> str:
        """Submit a job like `POST /api/v1/jobs`."""
        with transaction() as session:
            return jobs.submit(
                session,
                kind=spec["kind"],
                spec=spec,
                dataset_id=dataset_id,
                model_name=spec.get("job", spec)["model"],
            ).id

    def upload(self, *paths: Path, name: str = "digits") -> str:
        """Create a dataset like `POST /api/v1/datasets`; validation begins once a worker runs."""
        sources = []
        for path in paths:
            sources.append({"key": f"uploads/upl_{name}/{path.name}", "filename": path.name})
            blobs().put_file(sources[-1]["key"], path)
        with transaction() as session:
            return datasets.create(session, name=name, sources=sources, task="image_classification").id

    def wait_for_verdict(self, dataset_id: str) -> Dataset:
        """Wait until a dataset is ready or rejected, and return it."""

        def find_validated() -> Dataset | None:
            with reading() as session:
                dataset = datasets.get(session, dataset_id)
            return dataset if dataset.state in ("ready", "rejected") else None

        return until(find_validated)

    def import_digits(self) -> str:
        """Upload digits, wait for their validation, and return the dataset's id."""
        dataset_id = self.upload(*write_digits(self.folder))
        dataset = self.wait_for_verdict(dataset_id)
        assert dataset.state == "ready", dataset.report
        return dataset_id

    def job(self, job_id: str) -> Job:
        """Return the row as it is now."""
        with reading() as session:
            return jobs.get(session, job_id)

    def wait_for(self, job_id: str, *states: str, seconds: float = PATIENCE_SECONDS) -> Job:
        """Wait until the job is in one of these states, and return it."""
        try:
            return until(lambda: job if (job := self.job(job_id)).state in states else None, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"{self._describe(job_id)}") from None

    def checkpoint_step(self, job_id: str) -> int:
        """Return the step of the newest checkpoint; 0 without one."""
        with reading() as session:
            checkpoints = jobs.checkpoints(session, job_id)
        return checkpoints[0].step if checkpoints else 0

    def wait_for_checkpoint(self, job_id: str, *, after: int = 0) -> int:
        """Wait for a checkpoint beyond the step `after`, and return its step."""
        try:
            return until(lambda: step if (step := self.checkpoint_step(job_id)) > after else None)
        except AssertionError:
            raise AssertionError(f"{self._describe(job_id)}") from None

    def run_of(self, job_id: str) -> psutil.Process:
        """Wait for the process of a training or sweep, and return it."""
        return until(lambda: next(iter(self._runs_of(job_id)), None))

    def models_of(self, job_id: str) -> list[Model]:
        """Return every model that the job registered."""
        with reading() as session:
            return [
                model
                for name in models.names(session)
                for model in models.versions(session, name)
                if model.job_id == job_id
            ]

    def weights_of(self, job_id: str) -> str:
        """Return the SHA-256 of the weights of the only model that the job registered."""
        [model] = self.models_of(job_id)
        [weights] = [file for file in model.files if file["path"] == "weights.safetensors"]
        return str(weights["sha256"])

    def event_data(self, job_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the data of all events of one kind, in order."""
        with reading() as session:
            return [event.data for event in job_events.events(session, job_id, limit=10_000) if event.kind == kind]

    def _runs_of(self, job_id: str) -> list[psutil.Process]:
        processes = []
        modules = {PROGRAMS[kind].module for kind in (JobKind.FINETUNE, JobKind.SWEEP)}
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if command[1:2] == ["-m"] and command[2] in modules and command[3:4] == [job_id]:
                processes.append(process)
        return processes

    def _describe(self, job_id: str) -> str:
        job = self.job(job_id)
        logs = [self.home / "logs" / f"{job_id}.log", *sorted(self.folder.glob("worker-*.log"))]
        tails = "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs if log.exists())
        return f"{job_id} is {job.state} ({job.reason}, {job.error}, fence {job.fence}, crashes {job.crashes})\n{tails}"


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
