"""`plinth datasets`: list, show, preview, report, derive, fix and delete datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plinth.cli.commands.context import AsJson, DatasetReference, Yes, confirm, connect, print_json, resolve_dataset
from plinth.cli.plain_help import PlainTyper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from plinth.client.client import Plinth
    from plinth.client.types import Dataset, Fix

#: Characters of a value in a preview, such as an image in base64.
MAX_CELL_CHARACTERS = 100
#: Beginning of a file in base64 -> what it is.
MEDIA = {"iVBORw0KGgo": "PNG image", "/9j/": "JPEG image", "UklGR": "WAV audio"}

app = PlainTyper(help="List, inspect, derive, fix and delete datasets.", invoke_without_command=True)


@app.command("list")
@app.callback()
def list_datasets(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only the versions of this dataset.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of datasets.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List datasets, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        datasets = plinth.datasets.list(name=name, limit=limit)
    if as_json:
        print_json(datasets)
        return
    references = [f"{dataset.name}@{dataset.version}" for dataset in datasets]
    table = render.make_table("dataset", "task", "state", "rows", "classes", "size", "created", ids=references)
    for reference, dataset in zip(references, datasets, strict=True):
        table.add_row(
            reference,
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


@app.command("show")
def show_dataset(dataset: DatasetReference, as_json: AsJson = False) -> None:
    """Show a version: task, splits, classes, size, state."""
    from rich.markup import escape

    from plinth.cli import render

    with connect() as plinth:
        version = plinth.datasets.get(resolve_dataset(plinth, dataset))
    if as_json:
        print_json(version)
        return
    render.console.print(f"[bold]{version.name}@{version.version}[/]  {render.format_state(version.state)}")
    facts = {
        "id": version.id,
        "task": version.task,
        "format": version.format,
        "rows": ", ".join(f"{split} {rows:,}" for split, rows in version.splits.items()),
        "classes": f"{len(version.classes)}: {', '.join(version.classes)}" if version.classes else None,
        "size": render.format_size(version.bytes),
        "digest": version.digest,
        "created": render.format_age(version.created_at),
        "error": version.error.message if version.error else None,
    }
    for name, value in facts.items():
        if value:
            render.console.print(f"[dim]{name:<8}[/] {escape(str(value))}", soft_wrap=True)
    reference = f"{version.name}@{version.version}"
    if version.state == "ready":
        render.print_next_step(f"plinth datasets preview {reference}", render.make_train_command(version))
    else:
        render.print_next_step(f"plinth datasets report {reference}")


@app.command("preview")
def preview_dataset(
    dataset: DatasetReference,
    split: Annotated[str, typer.Option(help="Split of the rows: train, validation or test.")] = "train",
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1, max=100)] = 10,
    as_json: AsJson = False,
) -> None:
    """Show rows of a split, mixed over its classes, with their targets."""
    from rich.markup import escape

    from plinth.cli import render

    with connect() as plinth:
        rows = plinth.datasets.preview(resolve_dataset(plinth, dataset), split=split, limit=limit, order="mixed")
    if as_json:
        print_json(rows)
        return
    fields = list(dict.fromkeys(name for row in rows for name in row["input"]))
    table = render.make_table("row", *fields, "target")
    for row in rows:
        titles = row.get("titles") or {}
        values = [*(row["input"].get(name) for name in fields), row["target"]]
        table.add_row(str(row["index"]), *(escape(_shorten(_name_items(value, titles))) for value in values))
    render.console.print(table)


def _name_items(value: Any, titles: Mapping[str, str]) -> Any:
    """Replace ids of items by their titles."""
    if isinstance(value, list) and titles:
        return "; ".join(str(_name_items(item, titles)) for item in value)
    return titles.get(value, value) if isinstance(value, str) else value


def _shorten(value: Any) -> str:
    """Describe a value in a cell: media by kind and size, boxes by labels."""
    if isinstance(value, str) and (
        kind := next((kind for start, kind in MEDIA.items() if value.startswith(start)), "")
    ):
        return f"{kind}, {len(value) * 3 / 4000:,.0f} kB"
    if isinstance(value, dict) and list(value) == ["objects"]:
        return ", ".join(str(item.get("label")) for item in value["objects"]) or "nothing in it"
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_CELL_CHARACTERS:
        return text
    return f"{text[:MAX_CELL_CHARACTERS]}... ({len(text):,} characters)"


@app.command("report")
def report_dataset(dataset: DatasetReference, as_json: AsJson = False) -> None:
    """Show the row counts and all issues of a dataset."""
    from plinth.cli.render import print_dataset_report

    with connect() as plinth:
        report = plinth.datasets.report(resolve_dataset(plinth, dataset))
    if as_json:
        print_json(report)
    else:
        print_dataset_report(report)


@app.command("rows")
def list_finding_rows(
    dataset: DatasetReference,
    code: Annotated[str, typer.Argument(help="Code of a finding in the report.", metavar="CODE")],
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the rows that a finding is about, with the rows that they resemble."""
    from rich.markup import escape

    from plinth.cli import render

    with connect() as plinth:
        rows = plinth.datasets.finding_rows(resolve_dataset(plinth, dataset), code, limit=limit)
    if as_json:
        print_json(rows)
        return
    table = render.make_table("split", "index", "file", "row", "resembles", "class", "probable class")
    for row in rows:
        twin = f"{row.twin['split']} {row.twin['index']}" if row.twin else ""
        number = "" if row.row is None else str(row.row)
        label = (
            escape(row.label or "") if row.probability is None else f"{escape(row.label or '')} {row.probability:.0%}"
        )
        table.add_row(
            row.split, str(row.index), escape(row.file or ""), number, twin, escape(row.given_label or ""), label
        )
    render.console.print(table)


@app.command("derive")
def derive_dataset(
    dataset: DatasetReference,
    operations: Annotated[
        str, typer.Argument(help="JSON: an operation or a list of them; or a file that holds it.", metavar="OPERATIONS")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the new dataset (default: that of the old one).")] = None,
    as_json: AsJson = False,
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
        raise typer.BadParameter(
            f"not JSON ({error}); write a list of operations, quoted for the shell", param_hint="OPERATIONS"
        ) from None
    with connect() as plinth:
        reference = resolve_dataset(plinth, dataset)
        _derive(plinth, reference, [parsed] if isinstance(parsed, dict) else parsed, name=name, as_json=as_json)


@app.command("fix")
def fix_dataset(
    dataset: DatasetReference,
    findings: Annotated[
        list[str] | None, typer.Option("--also", help="Finding to remove as well, by its code. Repeatable.")
    ] = None,
    relabel: Annotated[
        bool, typer.Option("--relabel", help="Correct labels that are probably wrong, instead of dropping the rows.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Apply what the report of a dataset suggests, as its next version.

    By default, rows with errors are left out, and copies and near duplicates of training rows in held-out splits are
    dropped. Labels that are probably wrong change only with --relabel or --also label_probably_wrong.
    """

    with connect() as plinth:
        source = plinth.datasets.get(resolve_dataset(plinth, dataset))
        fixes = plinth.datasets.report(source.id).fixes
        chosen = _choose(fixes, {*(findings or ()), *(["label_probably_wrong"] if relabel else [])}, relabel=relabel)
        if not as_json:
            _print_fixes(source, fixes, chosen)
        if not chosen:
            return
        confirm(f"Make the next version of {source.name}?", yes=yes)
        _derive(plinth, source.id, [fix.operation for fix in chosen], name=None, as_json=as_json)


def _choose(fixes: Sequence[Fix], codes: Set[str], *, relabel: bool) -> list[Fix]:
    """Return the fixes to apply: the default ones, and one for each of `codes`."""
    fixable = {fix.finding for fix in fixes}
    if unknown := [code for code in codes if code not in fixable]:
        listed = ", ".join(sorted(code for code in fixable if code)) or "none"
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


def _derive(
    plinth: Plinth, reference: str, operations: Sequence[Mapping[str, Any]], *, name: str | None, as_json: bool
) -> None:
    """Derive a dataset, wait for it, and print its report."""
    from plinth.cli.render import console, make_train_command, print_dataset_report, print_next_step

    derived = plinth.datasets.derive(reference, operations, name=name)
    with console.status(f"deriving {derived.name}@{derived.version} ..."):
        derived = plinth.datasets.wait(derived.id)
    if as_json:
        print_json(derived)
        return
    print_dataset_report(plinth.datasets.report(derived.id))
    counts = ", ".join(f"{split} {rows}" for split, rows in derived.splits.items())
    origin = (derived.origin or {}).get("dataset")
    console.print(f"[green]{derived.name}@{derived.version} is ready[/], from {origin}: {derived.task}, {counts}")
    print_next_step(make_train_command(derived))


@app.command("delete")
def delete_dataset(dataset: DatasetReference, yes: Yes = False) -> None:
    """Delete a version (name@2 or its id), or with the bare name all versions."""
    from plinth.cli.render import console

    with connect() as plinth:
        reference = resolve_dataset(plinth, dataset)
        versions = _select_versions(plinth, reference)
        description = _describe(versions)
        confirm(f"Delete {description}?", yes=yes)
        plinth.datasets.delete(reference)
    console.print(f"Deleted {description}.", soft_wrap=True)


def _select_versions(plinth: Plinth, reference: str) -> Sequence[Dataset]:
    version = plinth.datasets.get(reference)
    return plinth.datasets.list(name=version.name, limit=None) if reference == version.name else [version]


def _describe(versions: Sequence[Dataset]) -> str:
    from plinth.cli.render import format_size

    names = ", ".join(f"{version.name}@{version.version}" for version in versions)
    size = format_size(sum(version.bytes or 0 for version in versions))
    return f"all {len(versions)} versions: {names} ({size})" if len(versions) > 1 else f"{names} ({size})"
