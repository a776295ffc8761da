"""`plinth evaluate`: how good a model is on any dataset that fits."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from plinth.cli.commands.context import AsJson, DatasetReference, ModelReference, connect, print_json, resolve_dataset
from plinth.cli.commands.train import start

Split = Literal["train", "validation", "test"]


def evaluate(
    model: ModelReference,
    dataset: DatasetReference,
    split: Annotated[
        Split | None, typer.Option(help="Split whose rows are evaluated (default: test, or the first with rows).")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Evaluate corrupted and attacked rows, too, which takes longer.")
    ] = False,
    mistakes: Annotated[int, typer.Option(help="Number of mistaken rows to show.", min=0, max=1000)] = 5,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on a dataset: metrics, calibration, the worst slices, and mistakes."""
    from plinth.cli.render import print_next_step
    from plinth.cli.render_evaluation import print_mistakes, print_robustness, print_slices

    with connect() as plinth:
        job = plinth.jobs.evaluate(model, resolve_dataset(plinth, dataset), split=split, robustness=robustness)
        if detach or not as_json:
            start(plinth, job, detach=detach, as_json=as_json)
        else:
            plinth.jobs.wait(job.id)
        if detach:
            return
        report = plinth.jobs.report(job.id)
        if as_json:
            print_json(report)
            return
        print_slices(report.get("slices") or ())
        print_robustness(report.get("robustness"))
        listed = (report.get("mistakes") or {}).get("rows")
        if listed and mistakes:
            print_mistakes(plinth.datasets.mistakes(str(job.spec["dataset"]), job.id, limit=mistakes))
        print_next_step(f"plinth jobs report {job.id}", f"plinth models versions {model.partition('@')[0]}")
