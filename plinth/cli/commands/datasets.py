"""`plinth datasets`: list, report and delete datasets."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.commands.context import DatasetReference, connect

app = typer.Typer(help="List, inspect and delete datasets.", invoke_without_command=True)


@app.callback()
def list_datasets(
    context: typer.Context, limit: Annotated[int, typer.Option(help="Maximum number of datasets.", min=1)] = 20
) -> None:
    """List datasets, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        datasets = plinth.datasets.list(limit=limit)
    table = render.make_table("dataset", "task", "state", "rows", "classes", "size", "created")
    for dataset in datasets:
        table.add_row(
            f"{dataset.name}@{dataset.version}",
            dataset.task or "",
            render.format_state(dataset.state),
            "" if dataset.rows is None else f"{dataset.rows:,}",
            "" if dataset.classes is None else str(len(dataset.classes)),
            render.format_size(dataset.bytes),
            render.format_age(dataset.created_at),
        )
    render.console.print(table)
    ready_datasets = [dataset for dataset in datasets if dataset.state == "ready"]
    render.print_next_step(render.make_train_command(ready_datasets[0]) if ready_datasets else "plinth upload FILES")


@app.command("report")
def report_dataset(dataset: DatasetReference) -> None:
    """Show the row counts and all issues of a dataset."""
    from plinth.cli.render import print_dataset_report

    with connect() as plinth:
        print_dataset_report(plinth.datasets.report(dataset))


@app.command("delete")
def delete_dataset(dataset: DatasetReference) -> None:
    """Delete a dataset version and its data."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.datasets.delete(dataset)
    console.print(f"Deleted {dataset}.")
