"""`plinth models`: list, import, alias, download and delete models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.commands.context import ModelReference, connect, print_json

app = typer.Typer(help="List, import, alias, download and delete models.", invoke_without_command=True)


@app.callback()
def list_models(
    context: typer.Context, limit: Annotated[int, typer.Option(help="Maximum number of models.", min=1)] = 20
) -> None:
    """List models, newest first."""
    if context.invoked_subcommand:
        return
    from plinth.cli import render

    with connect() as plinth:
        models = plinth.models.list(limit=limit)
    table = render.make_table("model", "task", "versions", "aliases", "updated")
    for model in models:
        aliases = ", ".join(f"{alias} -> {version}" for alias, version in model.aliases.items())
        table.add_row(
            model.name,
            model.task or "base",
            f"{model.versions}, latest {model.latest_version}",
            aliases,
            render.format_age(model.updated_at),
        )
    render.console.print(table)
    render.print_next_step(f"plinth models show {models[0].name}" if models else "plinth train DATASET --model NAME")


@app.command("show")
def show_model(
    model: ModelReference,
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete version as JSON.")] = False,
) -> None:
    """Show a version: origin, metrics, engine, and the parity of its graphs."""
    from plinth.cli.render import print_next_step
    from plinth.cli.render_model import print_version

    with connect() as plinth:
        version = plinth.models.get(model)
    if as_json:
        print_json(version)
        return
    print_version(version)
    print_next_step(f"plinth predict {version.name}@{version.version} FILE")


@app.command("alias")
def alias_model(
    model: Annotated[str, typer.Argument(help="Model version, like digits@3.", metavar="MODEL@VERSION")],
    alias: Annotated[str, typer.Argument(help="Name of the alias; the bare model name uses `production`.")],
) -> None:
    """Point an alias at a version."""
    from plinth.cli.render import console, print_next_step

    with connect() as plinth:
        version = plinth.models.get(model)
        plinth.models.set_alias(version.name, alias, version.version)
    console.print(f"{version.name}@{alias} is now version {version.version}.")
    print_next_step(f"plinth predict {version.name}@{alias} FILE")


@app.command("unalias")
def unalias_model(
    reference: Annotated[str, typer.Argument(help="Model and alias, like digits@production.", metavar="MODEL@ALIAS")],
) -> None:
    """Delete an alias; its version remains."""
    from plinth.cli.render import console

    name, _, alias = reference.partition("@")
    if not alias:
        raise typer.BadParameter("no alias; write MODEL@ALIAS, like digits@production", param_hint="MODEL@ALIAS")
    with connect() as plinth:
        plinth.models.delete_alias(name, alias)
    console.print(f"Deleted the alias {reference}.")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="A Hugging Face folder or a zip of one, a package, or an .onnx file.")],
    name: Annotated[str | None, typer.Option(help="Name of the model [that of the file].")] = None,
    task: Annotated[str | None, typer.Option(help="Task of an .onnx file.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Classes of an .onnx file in output order, separated by commas.")
    ] = None,
) -> None:
    """Import a model that was trained elsewhere."""
    from plinth.cli.render import console, make_transfer_bar, print_next_step

    label_list = [label.strip() for label in labels.split(",")] if labels else None
    with connect() as plinth:
        with make_transfer_bar("uploading") as bar:
            transfer = bar.add_task("", total=None)
            job = plinth.models.import_(
                file,
                name=name,
                task=task,
                labels=label_list,
                on_progress=lambda sent, total: bar.update(transfer, completed=sent, total=total),
            )
        job = plinth.jobs.wait(job.id)
        for note in plinth.jobs.report(job.id)["notes"]:
            console.print(f"- {note}", soft_wrap=True)
    console.print(f"Imported {job.model}.")
    print_next_step(f"plinth models show {job.model}")


@app.command("download")
def download_model(
    model: ModelReference,
    to: Annotated[Path, typer.Option(help="Folder or file name to save to.")] = Path(),
    file: Annotated[str | None, typer.Option(help="Download only this file of the package.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Export to a format of another library: huggingface, onnx.")
    ] = None,
) -> None:
    """Download the package of a model as a zip."""
    from plinth.cli.render import console, make_transfer_bar

    with connect() as plinth, make_transfer_bar("downloading") as bar:
        if format is not None:
            plinth.jobs.wait(plinth.jobs.export(model, format=format).id)
        transfer = bar.add_task("", total=None)
        path = plinth.models.download(
            model, to, file=file, format=format, on_progress=lambda received: bar.update(transfer, completed=received)
        )
    console.print(str(path), soft_wrap=True)


@app.command("delete")
def delete_model(model: ModelReference) -> None:
    """Delete a version (name@3), or with the bare name all versions."""
    from plinth.cli.render import console

    with connect() as plinth:
        plinth.models.delete(model)
    console.print(f"Deleted {model}.")
