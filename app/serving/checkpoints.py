"""Serving of the newest checkpoint of a training that still runs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from app.serving.types import ServedVersion
from store import jobs, models
from store.blobs import blobs
from store.errors import Conflict
from store.tables import JobKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from store.tables import Checkpoint, Job

JOB_ID: Final = re.compile(r"job_[0-9a-f]{32}")
#: Packages a checkpoint. Run in a process of its own: torch is never imported into this one.
PACK_MODULE: Final = "worker.jobs.on_request.pack_checkpoint"
PACK_TIMEOUT_SECONDS: Final = 300


def find_training(session: Session, job_id: str) -> tuple[Job, Checkpoint] | ServedVersion:
    """Return a job with its newest checkpoint, or the model that it made.

    Raises `NotFound`, and `Conflict` for a job without either.
    """
    job = jobs.get(session, job_id)
    if job.kind not in (JobKind.PRETRAIN, JobKind.FINETUNE):
        message = f"{job.id} is of the kind {job.kind}, which trains no model to predict with"
        raise Conflict(f"{message}; name a job of the kind pretrain or finetune")
    model = models.of_job(session, job.id)
    if model is not None and model.deleted_at is None:
        return ServedVersion(model.id, model.name, model.version, model.task, model.key, model.manifest_sha256)
    checkpoints = jobs.checkpoints(session, job.id)
    if not checkpoints:
        hint = "wait for its first checkpoint" if job.state in ("queued", "running") else "start it again"
        raise Conflict(f"{job.id} is {job.state} and has no checkpoint to predict with; {hint}")
    return job, checkpoints[0]


def serve_checkpoint(job_id: str, task: str | None, step: int, digest: str) -> ServedVersion:
    """Return a checkpoint as a version whose number is its step.

    A new one is packaged first. Raises `Conflict` if it cannot be packaged.
    """
    key = f"runs/{job_id}/served/{step}-{digest[:12]}"
    if not blobs().exists(f"{key}/manifest.json"):
        _pack(job_id, key)
    return ServedVersion(f"{job_id}-{step}-{digest[:12]}", job_id, step, task, key, "")


def _pack(job_id: str, key: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise Conflict(f"a checkpoint of {job_id} can be served only where torch is installed; wait for the model")
    command = [sys.executable, "-m", PACK_MODULE, job_id, key]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=PACK_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        message = f"the checkpoint of {job_id} could not be packaged within {PACK_TIMEOUT_SECONDS} seconds"
        raise Conflict(f"{message}; wait for the model") from None
    if process.returncode:
        lines = (process.stdout.strip() or process.stderr.strip()).splitlines() or ["no reason was given"]
        raise Conflict(f"the checkpoint of {job_id} could not be packaged: {lines[-1][:300]}; wait for the model")
