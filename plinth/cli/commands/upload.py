"""`plinth upload`: send files, and wait until the service has checked them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands.context import AsJson, connect, parse_assignments

if TYPE_CHECKING:
    from plinth.client.client import Plinth
    from plinth.client.types import Dataset


#: First bytes of every zip.
ZIP_START = b"PK"


def upload(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files or folders: zip, tar, CSV, Parquet, IDX, class folders.", metavar="FILE"),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the dataset (default: that of the first file).")] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of the dataset, like image_classification (default: guessed).")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Format of the files (default: guessed).")] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Column of the dataset = column in the file, or its position: text=message,label=2. Also JSON.",
            metavar="NAME=COLUMN,...",
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(help="Fraction of each split, like train=0.8,test=0.2. Also JSON.", metavar="SPLIT=FRACTION"),
    ] = None,
    license: Annotated[str | None, typer.Option(help="SPDX identifier of the license (default: README's).")] = None,
    quoting: Annotated[
        str | None,
        typer.Option(help="Quoting of tables: doubled, backslash, none (quotes are characters), none_backslash."),
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the rows to those of the latest version of --name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a dataset and wait until the service has checked it.

    Several files are parts of one dataset: plinth upload train-*.parquet --name reviews
    """
    from plinth.client.errors import DatasetRejected

    options = {
        "name": name,
        "task": task,
        "format": format,
        "columns": parse_assignments(columns, "--columns", example="text=message,label=topic"),
        "quoting": quoting,
        "license": license,
        "append": append,
        "splits": parse_assignments(splits, "--splits", example="train=0.8,test=0.2"),
    }
    with connect() as plinth:
        dataset = _send(plinth, files, options, quiet=as_json)
        try:
            dataset = _wait(plinth, dataset, quiet=as_json)
        except DatasetRejected as error:
            _show(plinth, error.dataset, as_json=as_json)
            raise typer.Exit(1) from None
        _show(plinth, dataset, as_json=as_json)


def _send(plinth: Plinth, files: list[Path], options: dict[str, Any], *, quiet: bool) -> Dataset:
    from plinth.cli.render import error_console, transfer_bar

    _require_files(files)
    try:
        with transfer_bar("uploading", quiet=quiet) as on_progress:
            return plinth.datasets.upload(list(files), on_progress=on_progress, **options)
    except KeyboardInterrupt:
        error_console.print(
            "Interrupted. The same command resumes the upload where it stopped, if it is larger than 8 MiB."
        )
        raise


def _require_files(files: list[Path]) -> None:
    from plinth.client.errors import PlinthError, no_such_file

    if missing := [file for file in files if not file.exists()]:
        raise no_such_file(*missing)
    for file in files:
        if file.suffix.lower() == ".zip" and file.is_file() and not _starts_with(file, ZIP_START):
            raise PlinthError(f"{file} is no zip, whatever its name says. Pack it again, or rename it.")


def _starts_with(file: Path, start: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(start)) == start


def _wait(plinth: Plinth, dataset: Dataset, *, quiet: bool) -> Dataset:
    from plinth.cli.render import console, error_console

    shown_name = f"{dataset.name}@{dataset.version}"
    try:
        if quiet:
            return plinth.datasets.wait(dataset.id)
        with console.status(f"checking {shown_name} ...") as status:

            def show(current: Dataset) -> None:
                if current.rows_read:
                    status.update(f"checking {shown_name}: {current.rows_read:,} rows read ...")

            return plinth.datasets.wait(dataset.id, on_progress=show)
    except KeyboardInterrupt:
        error_console.print(f"The check of {shown_name} continues. See it with: plinth datasets report {shown_name}")
        raise


def _show(plinth: Plinth, dataset: Dataset, *, as_json: bool) -> None:
    from plinth.cli.commands.context import print_json
    from plinth.cli.render import console, make_train_command, print_dataset_report, print_next_step
    from plinth.client.types import to_document

    report = plinth.datasets.report(dataset.id)
    if as_json:
        print_json({**to_document(dataset), "report": to_document(report)})
        return
    print_dataset_report(report)
    if dataset.state == "rejected":
        way = "Correct the data, and upload it again"
        if report.fixes:
            way = f"{way}, or leave the bad rows out: plinth datasets fix {dataset.name}@{dataset.version}"
        console.print(f"[red]{dataset.name}@{dataset.version} was rejected.[/] {way}.", soft_wrap=True)
        return
    counts = ", ".join(f"{split} {rows}" for split, rows in dataset.splits.items())
    console.print(f"[green]{dataset.name}@{dataset.version} is ready[/]: {dataset.task}, {counts}", soft_wrap=True)
    print_next_step(make_train_command(dataset))
