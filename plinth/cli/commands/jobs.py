"""`plinth jobs`: list, show and control jobs."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from plinth.cli.commands.context import JobId, connect, print_json, resolve_job_id

app = typer.Typer(help="List, show and control jobs.", invoke_without_command=True)


@app.callback()
def list_jobs(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only this state: queued, running, succeeded, failed or cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of jobs.", min=1)] = 20,
) -> None:
    """List jobs, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        jobs = plinth.jobs.list(state=state, limit=limit)
    table = render.make_table("job", "kind", "model", "state", "done", "started", "")
    for job in jobs:
        percent = f"{job.progress.percent:.0f} %" if job.progress.percent is not None else ""
        model = str(job.model or job.spec.get("model", ""))
        table.add_row(
            job.id,
            job.kind,
            model,
            render.format_state(job.state),
            percent,
            render.format_age(job.created_at),
            job.reason or "",
        )
    render.console.print(table)
    render.print_next_step(f"plinth watch {jobs[0].id}" if jobs else "plinth upload FILES")


@app.command("show")
def show_job(job: JobId = "last") -> None:
    """Show a job as JSON."""
    with connect() as plinth:
        print_json(plinth.jobs.get(resolve_job_id(plinth, job)))


@app.command("report")
def report_job(
    job: JobId = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete report as JSON.")] = False,
) -> None:
    """Show the metrics on the test split, with the trivial baseline."""
    from plinth.cli.render import print_evaluation

    with connect() as plinth:
        report = plinth.jobs.report(resolve_job_id(plinth, job))
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        print_evaluation(report)


@app.command("cancel")
def cancel_job(job: JobId) -> None:
    """Cancel a job and discard its work."""
    _request_action(job, "cancel")


@app.command("stop")
def stop_job(job: JobId) -> None:
    """End training now, restore the best weights, evaluate, and register the model."""
    _request_action(job, "stop")


@app.command("pause")
def pause_job(job: JobId) -> None:
    """Save a checkpoint and release the worker until the job is resumed."""
    _request_action(job, "pause")


@app.command("resume")
def resume_job(job: JobId) -> None:
    """Resume a paused job from its checkpoint."""
    _request_action(job, "resume")


def _request_action(job: str, action: str) -> None:
    from plinth.cli.render import console, format_state, print_next_step

    with connect() as plinth:
        updated_job = getattr(plinth.jobs, action)(resolve_job_id(plinth, job))
    console.print(f"{updated_job.id}  {format_state(updated_job.state)}, {action} requested")
    print_next_step(f"plinth watch {updated_job.id}")
