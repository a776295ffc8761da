"""`plinth datasets`: list, report, derive, fix and delete datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands.context import DatasetReference, connect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from plinth.client.client import Plinth
    from plinth.client.types import Dataset, Fix

app = typer.Typer(help="List, inspect, derive, fix and delete datasets.", invoke_without_command=True)


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


@app.command("rows")
def list_finding_rows(
    dataset: DatasetReference,
    code: Annotated[str, typer.Argument(help="Code of a finding in the report.", metavar="CODE")],
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1)] = 20,
) -> None:
    """List the rows that a finding is about, with the rows that they resemble."""
    from rich.markup import escape

    from plinth.cli import render

    with connect() as plinth:
        rows = plinth.datasets.finding_rows(dataset, code, limit=limit)
    table = render.make_table("split", "index", "file", "row", "resembles", "probable class")
    for row in rows:
        twin = f"{row.twin['split']} {row.twin['index']}" if row.twin else ""
        number = "" if row.row is None else str(row.row)
        table.add_row(row.split, str(row.index), escape(row.file or ""), number, twin, escape(row.label or ""))
    render.console.print(table)


@app.command("derive")
def derive_dataset(
    dataset: DatasetReference,
    operations: Annotated[
        str, typer.Argument(help="JSON: an operation or a list of them; or a file that holds it.", metavar="OPERATIONS")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the new dataset [that of the old one].")] = None,
) -> None:
    """Make the next version of a dataset by operations on its rows.

    Operations: drop_rows, relabel, merge_classes, filter, sample, dedupe, join, leave_out_bad_rows; such as
    {"operation": "sample", "fraction": 0.1}.
    """
    is_json = operations.lstrip().startswith(("{", "["))
    text = operations if is_json else Path(operations).read_text(encoding="utf-8")
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON ({error})", param_hint="OPERATIONS") from None
    with connect() as plinth:
        _derive(plinth, dataset, [parsed] if isinstance(parsed, dict) else parsed, name=name)


@app.command("fix")
def fix_dataset(
    dataset: DatasetReference,
    findings: Annotated[
        list[str] | None, typer.Option("--also", help="Finding to remove as well, by its code. Repeatable.")
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Correct labels that are probably wrong, instead of dropping the rows.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply the operations without asking.")] = False,
) -> None:
    """Apply what the report of a dataset suggests, as its next version.

    By default, rows with errors are left out, and copies and near duplicates of training rows in held-out splits are
    dropped. Labels that are probably wrong change only with --relabel or --also label_probably_wrong.
    """
    from plinth.cli.render import console

    with connect() as plinth:
        source = plinth.datasets.get(dataset)
        fixes = plinth.datasets.report(source.id).fixes
        chosen = _choose(fixes, {*(findings or ()), *(["label_probably_wrong"] if relabel else [])}, relabel=relabel)
        _print_fixes(source, fixes, chosen)
        if not chosen:
            return
        if not yes and not typer.confirm(f"Make the next version of {source.name}?"):
            console.print("Nothing was changed.")
            raise typer.Exit(1)
        _derive(plinth, source.id, [fix.operation for fix in chosen], name=None)


def _choose(fixes: Sequence[Fix], codes: Set[str], *, relabel: bool) -> list[Fix]:
    """Return the fixes to apply: the default ones, and one for each of `codes`."""
    known = {fix.finding for fix in fixes}
    if unknown := [code for code in codes if code not in known]:
        listed = ", ".join(sorted(code for code in known if code)) or "none"
        message = f"the report lists no rows for {unknown[0]}; it does for: {listed}"
        raise typer.BadParameter(message, param_hint="--also")
    chosen: dict[str | None, Fix] = {}
    for fix in fixes:
        is_chosen = fix.is_default or (fix.finding is not None and fix.finding in codes)
        if is_chosen and (fix.finding not in chosen or (relabel and fix.operation["operation"] == "relabel")):
            chosen[fix.finding] = fix
    return list(chosen.values())


def _print_fixes(source: Dataset, fixes: Sequence[Fix], chosen: Sequence[Fix]) -> None:
    """Print the fixes that will be applied, and how to apply the others."""
    from rich.markup import escape

    from plinth.cli.render import console

    console.print(f"{source.name}@{source.version}: {len(chosen)} of {len(fixes)} suggestions will be applied")
    for fix in fixes:
        mark = "[green]apply[/]" if fix in chosen else "[dim]skip [/]"
        code = fix.finding or "errors of single rows"
        console.print(f"{mark}  {fix.rows:>6,} x {escape(code)}: {escape(fix.description)}", soft_wrap=True)
    skipped = {fix.finding for fix in fixes} - {fix.finding for fix in chosen}
    for code in sorted(filter(None, skipped)):
        console.print(f"[dim]to include it: --also {escape(code)}[/]")


def _derive(plinth: Plinth, reference: str, operations: Sequence[Mapping[str, Any]], *, name: str | None) -> None:
    """Derive a dataset, wait for it, and print its report."""
    from plinth.cli.render import console, make_train_command, print_dataset_report, print_next_step

    derived = plinth.datasets.derive(reference, operations, name=name)
    with console.status(f"deriving {derived.name}@{derived.version} ..."):
        derived = plinth.datasets.wait(derived.id)
    print_dataset_report(plinth.datasets.report(derived.id))
    counts = ", ".join(f"{split} {rows}" for split, rows in derived.splits.items())
    origin = (derived.origin or {}).get("dataset")
    console.print(f"[green]{derived.name}@{derived.version} is ready[/], from {origin}: {derived.task}, {counts}")
    print_next_step(make_train_command(derived))


@app.command("delete")
def delete_dataset(dataset: DatasetReference) -> None:
    """Delete a dataset version and its data."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.datasets.delete(dataset)
    console.print(f"Deleted {dataset}.")
