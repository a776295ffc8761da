"""`plinth prune`: a smaller and faster model from a large one."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.commands.context import AsJson, DatasetReference, ModelReference, connect, resolve_dataset
from plinth.cli.commands.train import start


def prune(
    model: ModelReference,
    dataset: DatasetReference,
    operations: Annotated[
        float, typer.Option(help="Fraction of the model's operations that remains.", min=0.01, max=0.95)
    ] = 0.25,
    result: Annotated[
        str | None, typer.Option(help="Name of the smaller model (default: that of the model with -pruned).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the training after it.", min=1)] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the job without watching it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the least important units of a model, and train what remains."""
    schedule = None if epochs is None else {"epochs": epochs}
    with connect() as plinth:
        job = plinth.jobs.prune(
            model, resolve_dataset(plinth, dataset), operations=operations, result=result, schedule=schedule
        )
        start(plinth, job, detach=detach, as_json=as_json)
