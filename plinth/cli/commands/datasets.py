"""`plinth datasets`: list them, and look into one."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.commands.context import DatasetReference, connect

app = typer.Typer(help="List data sets, and look into one.", invoke_without_command=True)


@app.callback()
def list_datasets(context: typer.Context, limit: Annotated[int, typer.Option(min=1)] = 20) -> None:
    """List data sets, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        datasets = plinth.datasets.list(limit=limit)
    shown = render.table("data set", "task", "state", "rows", "classes", "size", "created")
    for dataset in datasets:
        shown.add_row(
            f"{dataset.name}@{dataset.version}",
            dataset.task or "",
            render.state(dataset.state),
            "" if dataset.rows is None else f"{dataset.rows:,}",
            "" if dataset.classes is None else str(len(dataset.classes)),
            render.size(dataset.bytes),
            render.ago(dataset.created_at),
        )
    render.console.print(shown)
    ready = [dataset for dataset in datasets if dataset.state == "ready"]
    render.next_step(render.first_training(ready[0]) if ready else "plinth upload FILES")


@app.command("report")
def report_dataset(dataset: DatasetReference) -> None:
    """Everything that was found in the data."""
    from plinth.cli.render import findings

    with connect() as plinth:
        findings(plinth.datasets.report(dataset))


@app.command("delete")
def delete_dataset(dataset: DatasetReference) -> None:
    """Delete a version and its data."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.datasets.delete(dataset)
    console.print(f"{dataset} is deleted.")
