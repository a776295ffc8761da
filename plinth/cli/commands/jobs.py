"""`plinth jobs`: list, show, repeat and control jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plinth.cli.commands import completion
from plinth.cli.commands.context import (
    AsJson,
    JobId,
    JobIds,
    Yes,
    apply_setting,
    confirm,
    connect,
    print_json,
    resolve_dataset,
    resolve_job_id,
)
from plinth.cli.commands.train import Priority, PriorityOption, drop_none, start
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from plinth.client.client import Plinth
    from plinth.client.types import Job

State = Literal["queued", "running", "succeeded", "failed", "cancelled", "paused"]
Kind = Literal[
    "pretrain",
    "finetune",
    "import",
    "export",
    "evaluate",
    "batch_predict",
    "compare",
    "reproduce",
    "prune",
    "recommend",
    "sweep",
    "validate",
    "derive",
]
#: Reason of a job that has nothing to say.
COMPLETED = "completed"
#: Bars of a curve, from its minimum to its maximum.
BARS = "▁▂▃▄▅▆▇█"
CURVE_POINTS = 40

app = PlainTyper(help="List, show, repeat and control jobs.", invoke_without_command=True)


@app.command("list")
@app.callback()
def list_jobs(
    context: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only jobs of this kind.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Only jobs that make this model, or name@3 of it.", autocompletion=completion.model_references
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Only jobs of this dataset.", autocompletion=completion.dataset_references)
    ] = None,
    parent: Annotated[str | None, typer.Option(help="Only the trials of this sweep.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only jobs of this API key, by its name or id.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of jobs.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs: the running ones first, then the newest."""
    if context.invoked_subcommand:
        return
    with connect() as plinth:
        filters = drop_none(
            kind=kind,
            model=model,
            dataset=resolve_dataset(plinth, dataset) if dataset else None,
            parent=resolve_job_id(plinth, parent) if parent else None,
            owner=owner,
        )
        running = plinth.jobs.list(state="running", limit=limit, **filters) if state is None else []
        newest = plinth.jobs.list(state=state, limit=limit, **filters)
        jobs = list({job.id: job for job in (*running, *newest)}.values())[:limit]
        counts = plinth.job_counts()
    if as_json:
        print_json(jobs)
    else:
        _print_jobs(jobs, counts, is_filtered=bool(filters or state))


def _print_jobs(jobs: Sequence[Job], counts: dict[str, int], *, is_filtered: bool) -> None:
    from plinth.cli import render

    reasons = {job.id: job.reason for job in jobs if job.reason and job.reason != COMPLETED}
    results = {
        job.id: f"{job.headline.name} {render.format_number(job.headline.value)}" for job in jobs if job.headline
    }
    headers = [
        "job",
        "state",
        "age",
        "kind and model",
        *(["result"] if results else []),
        *(["reason"] if reasons else []),
    ]
    table = render.make_table(*headers, ids=[job.id for job in jobs], whole=("state", "age"))
    for job in jobs:
        state = "paused" if job.state == "queued" and job.requested == "pause" else job.state
        percent = f" {job.progress.percent:.0f} %" if job.state == "running" and job.progress.percent else ""
        age = render.format_age(job.created_at).removesuffix(" ago")
        name = f"{job.kind} {job.model or job.training.get('model', '')}"
        reason = [reasons.get(job.id, "")] if reasons else []
        result = [results.get(job.id, "")] if results else []
        table.add_row(job.id, render.format_state(state) + percent, age, name, *result, *reason)
    render.console.print(table)
    total = sum(counts.values())
    by_state = ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()) if count)
    scope = "that match" if is_filtered else f"of {total:,}"
    more = f" (`--limit {total}` shows all)" if not is_filtered and total > len(jobs) else ""
    render.console.print(f"[dim]{len(jobs)} {scope} shown{more}. All jobs: {by_state or 'none'}.[/]", soft_wrap=True)
    render.print_next_step(_next_command(jobs))


def _next_command(jobs: Sequence[Job]) -> str:
    for state, command in (("running", "watch"), ("failed", "jobs logs"), ("succeeded", "jobs report")):
        if match := next((job for job in jobs if job.state == state), None):
            return f"plinth {command} {match.id}"
    return f"plinth watch {jobs[0].id}" if jobs else "plinth upload FILES"


@app.command("show")
def show_job(job: JobId = "last", as_json: AsJson = False) -> None:  # noqa: ARG001 - it prints JSON in any case
    """Show a job as JSON."""
    with connect() as plinth:
        print_json(plinth.jobs.get(resolve_job_id(plinth, job)))


@app.command("report")
def report_job(job: JobId = "last", as_json: AsJson = False) -> None:
    """Show the metrics on the test split, or the result of an import or export."""
    from plinth.cli.render_sweep import print_report

    with connect() as plinth:
        report = plinth.jobs.report(resolve_job_id(plinth, job))
    if as_json:
        print_json(dict(report))
    else:
        print_report(report)


@app.command("logs")
def show_logs(
    job: JobId = "last",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the job ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the log lines of a job."""
    with connect() as plinth:
        job_id = resolve_job_id(plinth, job)
        if follow and not as_json:
            for event in plinth.jobs.events(job_id):
                if event.kind == "log":
                    _print_line(event.created_at, str(event.data.get("message", "")))
            return
        lines = plinth.jobs.logs(job_id)
        error = plinth.jobs.get(job_id).error
    if as_json:
        print_json(lines)
        return
    for line in lines:
        _print_line(line.created_at, line.message)
    if error:
        _print_line(None, f"failed: {error.message}")
        if error.hint:
            _print_line(None, error.hint)


def _print_line(time: Any, message: str) -> None:
    from rich.markup import escape

    from plinth.cli.render import console

    stamp = f"[dim]{time.astimezone():%H:%M:%S}[/]  " if time else ""
    console.print(f"{stamp}{escape(message)}", soft_wrap=True)


@app.command("metrics")
def show_metrics(
    job: JobId = "last",
    name: Annotated[list[str] | None, typer.Option(help="Only this metric, like validation/loss. Repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the curves of a job: first, last, lowest and highest value of each metric."""
    from plinth.cli import render

    with connect() as plinth:
        curves = plinth.jobs.metrics(resolve_job_id(plinth, job), name=name)
    if as_json:
        print_json(dict(curves))
        return
    table = render.make_table("metric", "steps", "first", "last", "lowest", "highest", "curve", ids=list(curves))
    for metric, points in curves.items():
        values = [value for _, value in points if value is not None]
        if values:
            numbers = (values[0], values[-1], min(values), max(values))
            cells = [render.format_number(number) for number in numbers]
            table.add_row(metric, f"{points[-1][0]:,}", *cells, draw_curve(values))
    render.console.print(table)


def draw_curve(values: Sequence[float]) -> str:
    """Draw a curve as one line of bars, thinned to at most 40."""
    count = min(len(values), CURVE_POINTS)
    points = [values[round(index * (len(values) - 1) / max(count - 1, 1))] for index in range(count)]
    low, span = min(points), (max(points) - min(points)) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in points)


@app.command("retry")
def retry_job(
    job: JobId = "last",
    priority: PriorityOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a failed or canceled job again, with the same spec, and watch it."""
    with connect() as plinth:
        start(plinth, plinth.jobs.retry(resolve_job_id(plinth, job), priority=priority), detach=detach, as_json=as_json)


@app.command("clone")
def clone_job(
    job: JobId = "last",
    model: Annotated[str | None, typer.Option(help="Name of the trained model (default: the same).")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Another dataset or version of it.", autocompletion=completion.dataset_references),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs.", min=1)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any field of the spec, like schedule.decay=cosine; null removes one. Repeatable.",
            metavar="PATH=VALUE",
        ),
    ] = None,
    priority: PriorityOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a job like an earlier one, with changes, and watch it."""
    changes: dict[str, Any] = drop_none(model=model)
    if epochs is not None:
        changes["schedule"] = {"epochs": epochs}
    for setting in set_ or ():
        apply_setting(changes, setting)
    with connect() as plinth:
        if dataset is not None:
            changes["dataset"] = resolve_dataset(plinth, dataset)
        clone = plinth.jobs.clone(resolve_job_id(plinth, job), changes, priority=priority)
        start(plinth, clone, detach=detach, as_json=as_json)


@app.command("update")
def update_job(
    job: JobId,
    priority: Annotated[Priority, typer.Option(help="Jobs of a higher priority start first; high needs scope admin.")],
    as_json: AsJson = False,
) -> None:
    """Change the priority of a job that has not ended; a run is not interrupted."""
    from plinth.cli.render import console

    with connect() as plinth:
        updated = plinth.jobs.update(resolve_job_id(plinth, job), priority=priority)
    if as_json:
        print_json(updated)
        return
    place = f", number {updated.queue_position} of its queue" if updated.queue_position else ""
    console.print(f"{updated.id} has the priority {updated.priority}{place}.", soft_wrap=True)


@app.command("delete")
def delete_jobs(jobs: JobIds = None, yes: Yes = False) -> None:
    """Delete ended jobs with their logs, metrics, reports and checkpoints."""
    from plinth.cli.render import console

    with connect() as plinth:
        selected = [plinth.jobs.get(resolve_job_id(plinth, job)) for job in _require(jobs)]
        description = ", ".join(
            f"{job.id} ({job.kind} {job.training.get('model', '')}, {job.state})" for job in selected
        )
        confirm(f"Delete {description}, with logs, metrics, report and checkpoints?", yes=yes)
        for job in selected:
            plinth.jobs.delete(job.id)
            console.print(f"Deleted {job.id}.")


@app.command("cancel")
def cancel_jobs(
    jobs: JobIds = None,
    all_: Annotated[bool, typer.Option("--all", help="Cancel every queued and running job; asks first.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs and discard their work."""
    with connect() as plinth:
        if all_:
            job_ids = [job.id for job in plinth.jobs.list(state=["queued", "running"], limit=None)]
            if job_ids:
                confirm(f"Cancel {len(job_ids)} queued and running jobs, and discard their work?", yes=yes)
        else:
            job_ids = [resolve_job_id(plinth, job) for job in _require(jobs)]
        _print_requested([plinth.jobs.cancel(job_id) for job_id in job_ids], "cancel", as_json=as_json)


@app.command("stop")
def stop_job(job: JobId, as_json: AsJson = False) -> None:
    """End training now, restore the best weights, evaluate, and register the model."""
    _request_action(job, "stop", as_json=as_json)


@app.command("pause")
def pause_job(job: JobId, as_json: AsJson = False) -> None:
    """Save a checkpoint and release the worker until the job is resumed."""
    _request_action(job, "pause", as_json=as_json)


@app.command("resume")
def resume_job(job: JobId, as_json: AsJson = False) -> None:
    """Resume a paused job from its checkpoint."""
    _request_action(job, "resume", as_json=as_json)


def _require(jobs: list[str] | None) -> list[str]:
    if not jobs:
        raise typer.BadParameter("no job; name at least one, or `last`", param_hint="JOB")
    return list(dict.fromkeys(jobs))


def _request_action(job: str, action: str, *, as_json: bool) -> None:
    with connect() as plinth:
        _print_requested([_call(plinth, action, job)], action, as_json=as_json)


def _call(plinth: Plinth, action: str, job: str) -> Job:
    updated: Job = getattr(plinth.jobs, action)(resolve_job_id(plinth, job))
    return updated


def _print_requested(jobs: Sequence[Job], action: str, *, as_json: bool) -> None:
    from plinth.cli.render import console, format_state, print_next_step

    if as_json:
        print_json(jobs[0] if len(jobs) == 1 else jobs)
        return
    if not jobs:
        console.print("No job is queued or running.")
        return
    for job in jobs:
        console.print(f"{job.id}  {format_state(job.state)}, {action} requested")
    print_next_step(f"plinth watch {jobs[0].id}" if len(jobs) == 1 else "plinth jobs")
