"""`plinth jobs`: list them, and steer one."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from plinth.cli.commands.context import JobId, connect, job_id, print_json

app = typer.Typer(help="List jobs, and steer one.", invoke_without_command=True)


@app.callback()
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> None:
    """List jobs, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        jobs = plinth.jobs.list(state=state, limit=limit)
    shown = render.table("job", "kind", "model", "state", "done", "started", "")
    for job in jobs:
        percent = f"{job.progress.percent:.0f} %" if job.progress.percent is not None else ""
        model = str(job.model or job.spec.get("model", ""))
        shown.add_row(
            job.id, job.kind, model, render.state(job.state), percent, render.ago(job.created_at), job.reason or ""
        )
    render.console.print(shown)
    render.next_step(f"plinth watch {jobs[0].id}" if jobs else "plinth upload FILES")


@app.command("show")
def show_job(job: JobId = "last") -> None:
    """All about one job, as JSON."""
    with connect() as plinth:
        print_json(plinth.jobs.get(job_id(plinth, job)))


@app.command("report")
def report_job(
    job: JobId = "last", as_json: Annotated[bool, typer.Option("--json", help="All of it.")] = False
) -> None:
    """How good the model is on the test split, beside the trivial baseline."""
    from plinth.cli.render import evaluation

    with connect() as plinth:
        report = plinth.jobs.report(job_id(plinth, job))
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        evaluation(report)


@app.command("cancel")
def cancel_job(job: JobId) -> None:
    """End a job and keep nothing."""
    _steer(job, "cancel")


@app.command("stop")
def stop_job(job: JobId) -> None:
    """End training now, restore the best weights, evaluate, and register the model."""
    _steer(job, "stop")


@app.command("pause")
def pause_job(job: JobId) -> None:
    """Save a checkpoint and wait."""
    _steer(job, "pause")


@app.command("resume")
def resume_job(job: JobId) -> None:
    """Go on from the checkpoint."""
    _steer(job, "resume")


def _steer(job: str, request: str) -> None:
    from plinth.cli.render import console, next_step, state

    with connect() as plinth:
        steered = getattr(plinth.jobs, request)(job_id(plinth, job))
    console.print(f"{steered.id}  {state(steered.state)}, {request} was asked for")
    next_step(f"plinth watch {steered.id}")
