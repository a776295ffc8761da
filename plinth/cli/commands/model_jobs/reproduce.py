"""`plinth reproduce`: prove that a training gives the same weights again."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.commands.context import AsJson, JobId, connect, print_json, resolve_job_id
from plinth.cli.commands.train import start


def reproduce(
    job: JobId,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Repeat a training job, and compare its weights; exits with 1 if they differ."""
    with connect() as plinth:
        repetition = plinth.jobs.reproduce(resolve_job_id(plinth, job))
        if detach or not as_json:
            start(plinth, repetition, detach=detach, as_json=as_json)
        else:
            plinth.jobs.wait(repetition.id)
        if detach:
            return
        report = plinth.jobs.report(repetition.id)
    if as_json:
        print_json(report)
    raise typer.Exit(0 if report["equal"] else 1)
